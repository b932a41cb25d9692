// How a draft looks where it is posted: folded, with its author; a thread as its posts.
function initials(name) {
  return name.split(/\s+/).filter(Boolean).slice(0, 2).map((word) => word[0].toUpperCase()).join("");
}

// Characters as the platform counts them: X counts a link as 23, an emoji and a Chinese, Japanese or Korean letter as 2
// (twitter-text, configuration 3); the others count code points.
function characters(data, text) {
  if (data.format !== "thread") return [...text].length;
  let count = 0;
  const rest = text.normalize("NFC").replace(/\bhttps?:\/\/\S+|\bwww\.\S+/gi, () => { count += 23; return ""; });
  for (const { segment } of new Intl.Segmenter().segment(rest)) {
    if (/\p{Extended_Pictographic}|\p{Regional_Indicator}|\u20e3/u.test(segment)) count += 2;
    else for (const letter of segment) count += /[\u0000-\u10ff\u2000-\u200d\u2010-\u201f\u2032-\u2037]/.test(letter) ? 1 : 2;
  }
  return count;
}

function head(data, below) {
  return element("div", { class: "poster" }, [
    element("span", { class: "face", "aria-hidden": "true", text: initials(data.author) }),
    element("span", {}, [element("b", { text: data.author }), element("small", { text: below })]),
  ]);
}

// The text up to the fold with the button that opens the rest, as the platform does.
function folded(data, text) {
  const lines = data.fold_lines ? text.split("\n").slice(0, data.fold_lines).join("\n") : text;
  const first = [...lines].slice(0, data.fold ?? Infinity).join("");
  if (first.length === text.length) return [element("div", { class: "words", text })];
  const space = Math.max(first.lastIndexOf(" "), first.lastIndexOf("\n"));
  const words = element("div", { class: "words", text: (first.length < lines.length && space > 0 ? first.slice(0, space) : first).trimEnd() });
  const more = element("button", { class: "more", type: "button", "aria-expanded": "false", text: "…more" });
  more.onclick = () => words.replaceChildren(text);
  words.append(" ", more);
  return [words];
}

function counter(data, text) {
  const limit = data.limit, count = characters(data, text);
  return element("span", { class: limit && count > limit ? "counter over" : "counter", text: limit ? `${count.toLocaleString("en")} of ${limit.toLocaleString("en")}` : `${count.toLocaleString("en")} characters` });
}

function preview(data, parts) {
  const view = element("div", { class: "view preview" });
  if (data.format === "thread") {
    parts.forEach((part, position) => view.append(element("div", { class: "post" }, [
      head(data, `${position + 1} of ${parts.length}`), element("div", { class: "words", text: part }), counter(data, part)])));
    return view;
  }
  const text = parts.join("\n\n");
  if (data.format === "article") {
    const words = text.split(/\s+/).filter(Boolean).length;
    const lines = text.split("\n\n").map((block) => /^#+ /.test(block) ? element("h4", { text: block.replace(/^#+ /, "") }) : element("p", { text: block }));
    view.append(element("div", { class: "post article" }, [head(data, `${Math.max(1, Math.round(words / 230))} min read`), ...lines]));
    return view;
  }
  if (data.reply_to) view.append(element("div", { class: "post answered" }, [element("small", { text: "In reply to" }), element("div", { class: "words", text: data.reply_to })]));
  const actions = data.actions.length ? [element("div", { class: "actions", "aria-hidden": "true" }, data.actions.map((name) => element("span", { text: name })))] : [];
  view.append(element("div", { class: "post" }, [head(data, "Now"), ...folded(data, text), counter(data, text), ...actions]));
  return view;
}
