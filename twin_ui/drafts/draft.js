// One draft: its rank and why, three views of it (evidence, preview, edit), copy and choose, and what was measured.
function toolbar(data, send) {
  const said = element("span", { role: "status" });
  const copy = element("button", { class: data.notice ? null : "copy", type: "button", text: "Copy text" });
  copy.onclick = async () => {
    try {
      await navigator.clipboard.writeText(version(data));
      said.textContent = version(data) === data.whole ? "Copied" : "Copied, as you edited it";
    } catch {
      said.textContent = "The browser refused; select the text and copy it.";
    }
    setTimeout(() => { said.textContent = ""; }, 4000);
  };
  const choose = element("button", { type: "button", "aria-pressed": String(data.chosen), text: data.chosen ? "Chosen" : "Choose this one" });
  choose.onclick = () => { if (!data.chosen) send("chosen", true); };
  return element("div", { class: "toolbar" }, data.alone ? [copy, said] : [copy, choose, said]);
}

// Tabs as the ARIA practices have them: arrows move, one is in the order of the keyboard.
function tabs(data, root, views) {
  const body = element("div", { role: "tabpanel" });
  const buttons = Object.keys(views).map((name) => element("button", { role: "tab", type: "button", text: name }));
  const show = (name) => {
    root.dataset.view = name;
    const view = views[name]();
    body.replaceChildren(view);
    body.setAttribute("aria-label", name);
    view.renew?.();
    for (const button of buttons) {
      button.setAttribute("aria-selected", String(button.textContent === name));
      button.tabIndex = button.textContent === name ? 0 : -1;
    }
  };
  buttons.forEach((button, position) => {
    button.onclick = () => show(button.textContent);
    button.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = buttons[(position + step + buttons.length) % buttons.length];
      show(next.textContent);
      next.focus();
    };
  });
  show(views[root.dataset.view] ? root.dataset.view : "Evidence");
  return [element("div", { role: "tablist", "aria-label": "Views of the draft" }, buttons), body];
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const root = parentElement.querySelector(".draft");
  const send = (name, value) => setTriggerValue(name, value);
  const title = element("h3", { text: data.title });
  if (data.edited !== null) title.append(element("span", { class: "badge", text: "Edited" }));
  const nodes = [title];
  if (data.reasons.length) nodes.push(element("p", { class: "why", text: data.reasons.join(" · ") }));
  if (data.notice) nodes.push(element("div", { class: "notice", role: "note" }, [element("strong", { text: "Not for posting" }), document.createTextNode(data.notice)]));
  if (!data.whole) {
    root.replaceChildren(...nodes, ...checks(data));
    return;
  }
  const views = { Evidence: () => evidenceView(data), Preview: () => preview(data, partsOf(data, version(data))), Edit: () => edit(data, send) };
  nodes.push(toolbar(data, send), ...tabs(data, root, views), voiceBlock(data), figures(data), ...nearest(data), ...checks(data));
  root.replaceChildren(...nodes);
}
