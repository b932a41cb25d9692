// What was measured of a draft: the voice dial with what moves it, counters, checks, the nearest thing published.
const SVG = "http://www.w3.org/2000/svg";

function shape(name, properties, children = []) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(properties)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// A half circle from 0 to 100; its length is 100 units, so that the score is the dash.
function dial(voice) {
  const arc = "M 8 54 A 46 46 0 0 1 100 54";
  const measured = voice !== null && voice !== undefined;
  const value = measured ? Math.round(voice) : null;
  const drawing = shape("svg", { viewBox: "0 0 108 62", "aria-hidden": "true" }, [
    shape("path", { d: arc, class: "track", pathLength: "100" }),
    ...(value ? [shape("path", { d: arc, class: "value", pathLength: "100", "stroke-dasharray": `${value} 100` })] : []),
  ]);
  const label = element("span", { class: "number" }, [element("b", { text: measured ? String(value) : "–" }), element("small", { text: measured ? "of 100" : "not measured" })]);
  const meaning = { title: "0 is what strangers score, 100 what the author's own unseen writing does" };
  const meter = measured ? { role: "meter", "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": String(value), "aria-label": "Voice score" } : {};
  return element("div", { class: "dial", ...meaning, ...meter }, [drawing, label]);
}

function reasons(title, found, sign) {
  if (!found.length) return [];
  const rows = found.map((reason) => element("li", {}, [element("span", { text: reason.what }), element("span", { class: "points", text: `${sign}${Math.abs(reason.points).toFixed(1)}` })]));
  return [element("h4", { text: title }), element("ul", { class: "reasons" }, rows)];
}

function voiceBlock(data) {
  const told = [...reasons("Raises it", data.voice_raises, "+"), ...reasons("Lowers it", data.voice_lowers, "−")];
  const why = data.notice ? "Not measured for what is no prose." : data.voice === null ? "Too little text, or of the author's, to tell." : "No single habit stands out.";
  const beside = element("div", { class: "told" }, told.length ? told : [element("p", { class: "soft", text: why })]);
  return element("section", { class: "voice", "aria-label": "Voice" }, [element("div", {}, [element("h4", { text: "Voice" }), dial(data.voice)]), beside]);
}

function figure(name, value, unit, share, over) {
  const children = [element("dt", { text: name }), element("dd", { text: value }, [element("small", { text: unit })])];
  if (share !== null) children.push(element("dd", { class: "bar", "aria-hidden": "true" }, [element("span", { style: `width:${Math.max(0, Math.min(100, share))}%` })]));
  return element("div", { class: over ? "over" : null }, children);
}

function figures(data) {
  const list = element("dl");
  const limit = data.limit;
  const longest = Math.max(...data.parts.map((part) => characters(data, part)));
  if (data.format === "thread") list.append(figure("Posts", String(data.parts.length), ` longest ${longest} of ${limit}`, (100 * longest) / limit, longest > limit));
  else list.append(figure("Characters", data.characters.toLocaleString("en"), limit ? ` of ${limit.toLocaleString("en")}` : "", limit ? (100 * data.characters) / limit : null, limit && data.characters > limit));
  if (data.novelty !== null) list.append(figure("New", `${Math.round(100 * data.novelty)} %`, " against all published", 100 * data.novelty, false));
  if (data.overlap !== null) list.append(figure("Already published", `${Math.round(100 * data.overlap)} %`, " longest run", 100 * data.overlap, data.much_overlap));
  return list;
}

function checkLine(kind, mark, meaning, text) {
  return element("li", { class: kind }, [element("span", { class: "mark", role: "img", "aria-label": meaning, text: mark }), element("span", { text })]);
}

// What to mind stands open; what is well opens on request.
function checks(data) {
  const said = new Set(data.checks.map((check) => check.message));
  const minded = [
    ...data.problems.filter((problem) => !said.has(problem)).map((problem) => checkLine("failed", "!", "mind", problem)),
    ...data.checks.filter((check) => !check.passed).map((check) => checkLine("failed", "✕", "not passed", check.message)),
  ];
  const passed = data.checks.filter((check) => check.passed).map((check) => checkLine("passed", "✓", "passed", check.message));
  const nodes = [element("h4", { text: minded.length ? "Mind this" : "Checks" })];
  if (minded.length) nodes.push(element("ul", { class: "checks" }, minded));
  if (passed.length) nodes.push(element("details", {}, [element("summary", { text: `${passed.length} checks passed` }), element("ul", { class: "checks" }, passed)]));
  return nodes.length > 1 ? [element("section", { "aria-label": "Checks" }, nodes)] : [];
}

function nearest(data) {
  const found = data.nearest;
  if (!found) return [];
  const run = found.longest_words > 1 ? `; its longest run of the same words: ${found.longest_words}` : "";
  return [element("p", { class: "nearest" }, [element("strong", { text: "Nearest published: " }), link(found), document.createTextNode(` (${Math.round(100 * found.similarity)} % alike${run})`)])];
}
