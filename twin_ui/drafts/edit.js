// Editing in place: the author's version with its differences. What is typed outlives a reload until it is saved.
const TYPED = "twin-edit-";

// A browser may refuse storage; then what is typed lasts as long as the page.
function remembered(key) {
  try { return localStorage.getItem(key); } catch { return null; }
}
function remember(key, text) {
  try { if (text === null) localStorage.removeItem(key); else localStorage.setItem(key, text); } catch { /* see above */ }
}

// Words and the white space between them as [kind, text] runs: kind is "same", "gone" or "new". Longest common
// subsequence (dynamic programming) of what is left between the common beginning and the common end.
function differences(before, after) {
  const a = before.match(/\s+|[^\s]+/g) || [], b = after.match(/\s+|[^\s]+/g) || [];
  let start = 0, end = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
  const runs = [];
  const put = (kind, word) => { if (runs.length && runs.at(-1)[0] === kind) runs.at(-1)[1] += word; else runs.push([kind, word]); };
  a.slice(0, start).forEach((word) => put("same", word));
  const x = a.slice(start, a.length - end), y = b.slice(start, b.length - end), width = y.length + 1;
  if (x.length * y.length > 9e6) { put("gone", x.join("")); put("new", y.join("")); a.slice(a.length - end).forEach((word) => put("same", word)); return runs; } // 36 MB of table
  const longest = new Uint32Array((x.length + 1) * width);
  for (let i = x.length - 1; i >= 0; i -= 1)
    for (let j = y.length - 1; j >= 0; j -= 1)
      longest[i * width + j] = x[i] === y[j] ? longest[(i + 1) * width + j + 1] + 1 : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
  let i = 0, j = 0;
  while (i < x.length || j < y.length) {
    if (i < x.length && j < y.length && x[i] === y[j]) { put("same", x[i]); i += 1; j += 1; }
    else if (j === y.length || (i < x.length && longest[(i + 1) * width + j] >= longest[i * width + j + 1])) { put("gone", x[i]); i += 1; }
    else { put("new", y[j]); j += 1; }
  }
  a.slice(a.length - end).forEach((word) => put("same", word));
  return runs;
}

function showDifferences(panel, before, after) {
  const names = { gone: "del", new: "ins" };
  const changed = before !== after;
  panel.hidden = !changed;
  if (changed) panel.replaceChildren(element("h4", { text: "What you changed" }), element("div", { class: "words" }, differences(before, after).map(([kind, text]) => kind === "same" ? text : element(names[kind], { text }))));
}

// The author's version as it stands: typed, else kept, else the draft.
function version(data) {
  return remembered(TYPED + data.draft_id) ?? data.edited ?? data.whole;
}

function partsOf(data, text) {
  if (text === data.whole) return data.parts;
  return data.format === "thread" ? text.split(/\n{2,}/).map((part) => part.trim()).filter(Boolean) : [text];
}

function edit(data, send) {
  const area = element("textarea", { "aria-label": "Your version", rows: "12", spellcheck: "true" });
  area.value = version(data);
  const counts = element("div", { class: "counts" });
  const panel = element("section", { class: "changes", "aria-label": "What you changed" });
  const save = element("button", { class: "copy", type: "button", text: "Keep my version" });
  const back = element("button", { type: "button", text: "Back to the draft" });
  const renew = () => {
    area.style.height = "auto";
    if (area.scrollHeight) area.style.height = `${area.scrollHeight + 4}px`;
    counts.replaceChildren(...partsOf(data, area.value).map((part) => counter(data, part)));
    save.disabled = area.value === (data.edited ?? data.whole) || !area.value.trim();
    back.disabled = area.value === data.whole;
    clearTimeout(area.waiting);
    area.waiting = setTimeout(() => showDifferences(panel, data.whole, area.value), 120);
  };
  area.oninput = () => { remember(TYPED + data.draft_id, area.value); renew(); };
  save.onclick = () => { remember(TYPED + data.draft_id, null); send("edited", area.value); };
  back.onclick = () => { area.value = data.whole; remember(TYPED + data.draft_id, data.edited ? data.whole : null); renew(); area.focus(); };
  const view = element("div", { class: "view edit" }, [area, counts, element("div", { class: "toolbar" }, [save, back]), panel]);
  view.renew = renew;
  renew();
  return view;
}
