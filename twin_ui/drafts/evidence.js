// A draft's sentences as buttons, and the source of the one chosen. All text is set as text, never as HTML.
// Colour tells the origin, the line under a sentence how close it is; the mark behind it says both without either.
const STATUS = {
  "verbatim own": { label: "The author's words", meaning: "Word for word from the author's own writing:" },
  "verbatim link": { label: "The link's words", meaning: "Word for word from the link you gave:" },
  "supported own": { label: "Close to the author's writing", meaning: "Close in meaning to the author's own writing:" },
  "supported link": { label: "Close to the link", meaning: "Close in meaning to the link you gave:" },
  unsupported: { label: "No source: check it", meaning: "Nothing the author published and no link given backs this sentence. Check it before posting." },
  joining: { label: "Joining words", meaning: "Joins two sentences; it claims nothing." },
};

function look(sentence) {
  if (!sentence.support.length || sentence.status === "joining") return sentence.status;
  return `${sentence.status} ${sentence.support[0].kind}`;
}

function described(sentence) {
  return STATUS[look(sentence)] || STATUS[sentence.status] || { label: sentence.status, meaning: "" };
}

function element(name, properties = {}, children = []) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "text") made.textContent = value;
    else if (key.startsWith("on")) made[key] = value;
    else if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function marker(sentence) {
  const numbers = [...new Set(sentence.support.map((item) => item.number))].slice(0, 2);
  if (sentence.status === "unsupported") return "?";
  if (sentence.status === "joining") return "";
  const sign = sentence.support.length && sentence.support[0].kind === "link" ? "↗" : "";
  return numbers.length ? `[${sign}${numbers.join(",")}]` : "";
}

function link(item) {
  const safe = /^https?:\/\//.test(item.url || "");
  const title = item.title || (safe ? `Post on ${new URL(item.url).hostname.replace(/^www\./, "")}` : "Untitled");
  return safe ? element("a", { href: item.url, target: "_blank", rel: "noopener noreferrer", text: title }) : element("span", { text: title });
}

function explain(panel, sentence) {
  const status = described(sentence);
  const nodes = [element("h4", { text: status.label }), element("p", { text: status.meaning })];
  for (const item of sentence.support) {
    const platform = item.platform ? ` · ${item.platform}` : "";
    nodes.push(element("p", {}, [element("strong", { text: `[${item.number}] ` }), link(item), document.createTextNode(platform)]));
    if (item.quote) nodes.push(element("blockquote", { text: item.quote }));
  }
  if (sentence.unfounded.length) nodes.push(element("p", { class: "unfounded" }, [element("strong", { text: "In no source: " }), document.createTextNode(sentence.unfounded.join(", "))]));
  panel.replaceChildren(...nodes);
  panel.hidden = false;
}

// The parts of the page that show one sentence: its button and, behind the fold, the rest of it.
function sentenceNodes(piece, data, panel, root) {
  const sentence = data.sentences[piece.sentence];
  const status = described(sentence);
  const node = element("span", { class: `sentence ${look(sentence)}`, role: "button", tabindex: "0", "aria-expanded": "false", "aria-description": status.label });
  const rest = piece.after.replace(/^[ \n]/, "");
  const restNode = piece.fold && rest ? element("span", { class: `sentence ${look(sentence)}`, text: rest }) : null;
  const nodes = restNode ? [node, restNode] : [node];
  const choose = () => {
    const open = node.getAttribute("aria-expanded") === "true";
    root.querySelectorAll(".chosen").forEach((other) => other.classList.remove("chosen"));
    root.querySelectorAll('[aria-expanded="true"]').forEach((other) => other.setAttribute("aria-expanded", "false"));
    if (open) { panel.hidden = true; return; }
    node.setAttribute("aria-expanded", "true");
    nodes.forEach((part) => part.classList.add("chosen"));
    explain(panel, sentence);
    panel.scrollIntoView({ block: "nearest", behavior: "smooth" });
  };
  nodes.forEach((part) => { part.onclick = choose; });
  node.onkeydown = (event) => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(); }
    if (event.key === "Escape" && node.getAttribute("aria-expanded") === "true") choose();
  };
  node.append(piece.before);
  const mark = marker(sentence);
  if (mark) nodes.at(-1).append(element("sup", { text: mark, "aria-hidden": "true" }));
  if (piece.fold) nodes.splice(1, 0, foldNode(data));
  return nodes;
}

function foldNode(data) {
  return element("span", { class: "fold", "aria-hidden": "true", text: `${data.place} folds here: …more` });
}

// Text between sentences; the space the fold stands for would show as an empty line.
function plainNodes(piece, data) {
  return piece.fold ? [piece.before, foldNode(data), piece.after.replace(/^[ \n]/, "")] : [piece.before];
}

function legend(data) {
  const used = new Set(data.sentences.map(look));
  const entries = Object.entries(STATUS).filter(([name]) => used.has(name));
  const marks = { "verbatim own": "[1]", "supported own": "[1]", "verbatim link": "[↗2]", "supported link": "[↗2]", unsupported: "?" };
  return element("ul", { class: "legend", "aria-label": "What the marks mean" }, entries.map(([name, status]) => {
    const sample = element("span", { class: `sentence ${name}`, text: status.label });
    if (marks[name]) sample.append(element("sup", { text: marks[name] }));
    return element("li", {}, [sample]);
  }));
}

// The text with its receipts: sentences, what the marks mean, the source of the chosen one.
function evidenceView(data) {
  const view = element("div", { class: "view" });
  const panel = element("section", { class: "evidence", "aria-live": "polite", "aria-label": "Source of the chosen sentence" });
  panel.hidden = true;
  const text = element("div", { class: "text" });
  for (const piece of data.pieces)
    text.append(...(piece.sentence === null ? plainNodes(piece, data) : sentenceNodes(piece, data, panel, view)));
  view.append(text, legend(data), panel);
  if (data.sources.length) {
    const list = element("ol", { class: "sources" }, data.sources.map((item) => element("li", {}, [link(item), document.createTextNode(item.platform ? ` · ${item.platform}` : "")])));
    view.append(element("details", {}, [element("summary", { text: `Sources of this draft (${data.sources.length})` }), list]));
  }
  return view;
}
