// What pages do beyond what they do without scripts. Every part finds its own elements, and a page without them costs nothing.

const $$ = (selector, root = document) => Array.from(root.querySelectorAll(selector));
const csrf = document.querySelector('meta[name="csrf"]')?.content ?? "";

/** Says something to people who listen to the page. */
export function say(text) {
  const live = document.getElementById("live");
  if (live) { live.textContent = ""; requestAnimationFrame(() => { live.textContent = text; }); }
}

// Copying.
function copying(root = document) {
  for (const button of $$("button[data-copy]", root)) {
    if (button.dataset.ready || !navigator.clipboard) continue;
    button.dataset.ready = "yes";
    button.hidden = false;
    button.addEventListener("click", async () => {
      const source = button.dataset.copy ? document.getElementById(button.dataset.copy) : button.previousElementSibling;
      await navigator.clipboard.writeText((source.value ?? source.textContent).trim());
      const word = button.querySelector("span") ?? button, before = word.textContent;
      word.textContent = "Copied";
      say("Copied");
      setTimeout(() => { word.textContent = before; }, 1500);
    });
  }
}

// Forms that ask before they are sent: data-confirm has the question, data-confirm-type what must be typed.
function confirming() {
  document.addEventListener("submit", (event) => {
    const form = event.target, asked = event.submitter?.dataset.confirm ?? form.dataset.confirm;
    if (!asked || form.dataset.sure) return;
    event.preventDefault();
    const dialog = document.createElement("dialog");
    dialog.setAttribute("aria-labelledby", "confirm-text");
    const inner = document.createElement("form");
    inner.method = "dialog";
    const text = document.createElement("h2");
    text.id = "confirm-text";
    text.textContent = asked;
    const actions = document.createElement("div");
    actions.className = "actions";
    const no = document.createElement("button"), yes = document.createElement("button");
    no.className = "button"; no.value = "no"; no.textContent = "Cancel"; no.autofocus = true;
    yes.className = (event.submitter?.classList.contains("danger") ? "button danger" : "button primary");
    yes.value = "yes";
    yes.textContent = event.submitter?.dataset.yes ?? event.submitter?.textContent.trim() ?? "Yes";
    actions.append(no, yes);
    inner.append(text, actions);
    dialog.append(inner);
    document.body.append(dialog);
    dialog.addEventListener("close", () => {
      const sure = dialog.returnValue === "yes", submitter = event.submitter;
      dialog.remove();
      if (!sure) { submitter?.focus(); return; }
      form.dataset.sure = "yes";
      form.requestSubmit(submitter ?? undefined);
      delete form.dataset.sure;
    });
    dialog.showModal();
  });
}

// A form is sent once, and shows that it was.
function sendingOnce() {
  document.addEventListener("submit", (event) => {
    if (event.defaultPrevented || event.target.method === "dialog") return;
    setTimeout(() => { for (const button of $$("button:not([type=button])", event.target)) button.disabled = true; }, 0);
  });
  addEventListener("pageshow", (event) => {
    if (event.persisted) for (const button of $$("form button:disabled")) button.disabled = false;
  });
}

// Menus close when they are left.
function menus() {
  document.addEventListener("click", (event) => {
    for (const open of $$("details.menu[open], details.tip[open]")) if (!open.contains(event.target)) open.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const open of $$("details.menu[open], details.tip[open]")) { open.open = false; open.querySelector("summary").focus(); }
  });
}

// The theme, without a journey to the server; the cookie is what the server reads next time.
function themes() {
  for (const form of $$("form.theme")) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      event.stopPropagation();
      const theme = event.submitter.value;
      document.cookie = `theme=${theme}; Path=/; Max-Age=31536000; SameSite=Lax; Secure`;
      if (theme === "auto") delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = theme;
      for (const button of $$("button", form)) button.setAttribute("aria-pressed", String(button.value === theme));
    });
  }
}

/** How long ago, in the words that the server uses. */
export function ago(then, now = Date.now()) {
  const seconds = Math.max(0, Math.round((now - then) / 1000));
  if (seconds < 10) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  const days = Math.floor(seconds / 86400);
  return days === 1 ? "yesterday" : days < 30 ? `${days} days ago` : new Date(then).toISOString().slice(0, 10);
}

function times() {
  const tick = () => {
    for (const time of $$("time[data-ago]")) {
      const then = Date.parse(time.dateTime);
      const text = ago(then);
      if (time.textContent !== text) time.textContent = text;
      if (!time.dataset.local) { time.dataset.local = "yes"; time.title = new Date(then).toLocaleString(); }
    }
  };
  tick();
  setInterval(tick, 10000);
}

// The tab that is open is in sight, where not all of them are.
function tabs() {
  for (const open of $$(".tabs > [aria-current]")) open.parentElement.scrollLeft = open.offsetLeft - open.parentElement.offsetLeft - 60;
}

// What was said once is not said again by a reload.
function flash() {
  const url = new URL(location.href);
  if (!url.searchParams.has("said")) return;
  url.searchParams.delete("said");
  history.replaceState(history.state, "", url);
}

// Whether a name is free, while it is typed.
function availability() {
  for (const input of $$("input[data-availability]")) {
    const state = document.getElementById("name-state");
    let waiting, last = "";
    const ask = async () => {
      const name = input.value.trim();
      if (name === last) return;
      last = name;
      if (!name) { state.textContent = ""; return; }
      try {
        const answer = await fetch(`${input.dataset.availability}?name=${encodeURIComponent(name)}`, { headers: { Accept: "application/json" } });
        if (!answer.ok) return;
        const { free, message } = await answer.json();
        if (input.value.trim() !== name) return;
        state.textContent = message;
        state.className = `availability ${free ? "free" : "taken"}`;
      } catch { /* the server checks again when the form is sent */ }
    };
    input.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(ask, 250); });
    ask();
  }
}

// The tour: one part of the page after the other. Left and right go on, Escape ends it.
function tour() {
  const box = document.querySelector("[data-tour]");
  if (!box) return;
  const steps = $$(".tour-steps > li", box).filter((step) => document.querySelector(step.dataset.tourAt));
  const [next, back, end, count] = ["next", "back", "end", "count"].map((name) => box.querySelector(`[data-tour-${name}]`));
  if (!steps.length) return;
  let at = 0, shown;
  const show = (to) => {
    at = Math.max(0, Math.min(steps.length - 1, to));
    steps.forEach((step, index) => step.classList.toggle("shown", index === at));
    shown?.classList.remove("toured");
    shown = document.querySelector(steps[at].dataset.tourAt);
    shown.classList.add("toured");
    shown.scrollIntoView({ block: "center", behavior: "smooth" });
    count.textContent = `${at + 1} of ${steps.length}`;
    back.disabled = at === 0;
    next.textContent = at === steps.length - 1 ? "Done" : "Next";
    say(steps[at].textContent.trim());
  };
  const leave = () => { shown?.classList.remove("toured"); location.assign(end.href); };
  next.addEventListener("click", () => (at === steps.length - 1 ? leave() : show(at + 1)));
  back.addEventListener("click", () => show(at - 1));
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input, textarea, select") || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "ArrowRight") show(at + 1);
    else if (event.key === "ArrowLeft") show(at - 1);
    else if (event.key === "Escape") leave();
    else return;
    event.preventDefault();
  });
  box.querySelector(".tour-actions").hidden = false;
  box.classList.add("running");
  show(0);
  next.focus();
}

// Variables: more rows without a journey to the server, and an eye for each hidden value.
function variables() {
  for (const set of $$("fieldset.variables[data-kind]")) {
    const grid = set.querySelector(".grid"), app = location.pathname.split("/")[2];
    set.querySelector("[data-row]")?.addEventListener("click", (event) => {
      event.preventDefault();
      const row = grid.lastElementChild.cloneNode(true), index = grid.children.length;
      for (const input of $$("input, textarea", row)) {
        input.name = input.name.replace(/\.\d+\./, `.${index}.`);
        if (input.type === "checkbox") input.checked = false; else if (input.matches("[data-shown]")) input.value = "yes"; else input.value = "";
        input.removeAttribute("aria-invalid"); input.removeAttribute("aria-describedby");
      }
      row.querySelector(".wrong")?.remove();
      grid.append(row);
      row.querySelector("input[type=text]").focus();
    });
    for (const row of grid?.children ?? []) {
      const button = row.querySelector("[data-eye]"), shown = row.querySelector("[data-shown]");
      if (!button || shown.value === "yes") continue;
      button.hidden = false;
      button.addEventListener("click", async () => {
        const was = row.querySelector("input[type=hidden]").value;
        let input = row.querySelector(".secret input, .secret textarea");
        const answer = await fetch(`/api/v1/apps/${app}/env?kind=${set.dataset.kind}`, { headers: { accept: "application/json" } });
        if (!answer.ok) { say("The value can't be shown."); return; }
        const value = (await answer.json()).variables[was];
        if (value === undefined) { say("The variable was removed meanwhile."); return; }
        if (/[\r\n]/.test(value)) {
          const area = document.createElement("textarea");
          area.className = "code"; area.name = input.name; area.rows = 3; area.spellcheck = false;
          input.replaceWith(area);
          input = area;
        } else input.type = "text";
        input.value = value; input.placeholder = "";
        shown.value = "yes"; button.hidden = true;
        input.focus();
        say(`The value of ${was} is shown.`);
      });
    }
  }
}

// The editor: its numbers follow its lines, and a mistake leads to its line.
function editor() {
  for (const box of $$("[data-editor]")) {
    const area = box.querySelector("textarea"), gutter = box.querySelector(".gutter");
    const follow = () => {
      const count = area.value.split("\n").length + 2;
      if (Number(area.rows) === count) return;
      area.rows = count;
      gutter.textContent = Array.from({ length: count }, (_, at) => at + 1).join("\n");
    };
    area.addEventListener("input", follow);
    for (const link of $$("[data-line]")) link.addEventListener("click", () => {
      const lines = area.value.split("\n"), line = Number(link.dataset.line) - 1;
      const start = lines.slice(0, line).reduce((sum, text) => sum + text.length + 1, 0);
      area.focus();
      area.setSelectionRange(start, start + (lines[line]?.length ?? 0));
    });
  }
}

// Figures follow what happens, while somebody looks.
function refreshing() {
  for (const part of $$("[data-refresh][id]")) {
    setInterval(async () => {
      if (document.hidden || part.querySelector("details[open] :focus")) return;
      const answer = await fetch(location.href, { headers: { accept: "text/html" } }).catch(() => null);
      if (!answer?.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(part.id);
      if (!fresh) return;
      const open = $$("details", part).map((details) => details.open);
      $$("details", fresh).forEach((details, at) => { details.open = open[at] ?? false; });
      part.replaceChildren(...fresh.childNodes);
    }, Number(part.dataset.refresh) * 1000);
  }
}

const CHUNK = 100;
const KEPT = 200000;

/** A log that takes a hundred thousand lines: they are added in chunks, and the browser lays out only those that are seen. */
class LogView {
  constructor(pane) {
    this.pane = pane;
    this.box = pane.querySelector(".log");
    this.counter = pane.querySelector(".count");
    this.waiting = [];
    this.texts = [];
    this.lines = [];
    this.needle = "";
    this.chunk = this.box.querySelector(".chunk:last-of-type");
    for (const line of $$(".l", this.box)) { this.lines.push(line); this.texts.push(line.textContent.toLowerCase()); }
    this.toEnd = true;
    this.box.scrollTop = this.box.scrollHeight;
    this.box.addEventListener("scroll", () => {
      this.toEnd = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 40;
    }, { passive: true });
    const search = pane.querySelector(".search:not(.always)"), input = search?.querySelector("input");
    if (input) {
      search.hidden = false;
      input.addEventListener("input", () => { clearTimeout(this.timer); this.timer = setTimeout(() => this.search(input.value), 120); });
    }
  }

  clear() {
    for (const chunk of $$(".chunk, .more", this.box)) chunk.remove();
    this.chunk = null;
    this.lines = [];
    this.texts = [];
  }

  /** Adds elements made by `make`; they appear with the next frame. */
  add(make) {
    this.waiting.push(make);
    this.frame ??= requestAnimationFrame(() => this.flush());
  }

  flush() {
    this.frame = undefined;
    const until = performance.now() + 8;
    let done = 0;
    this.box.querySelector(".nothing")?.remove();
    while (done < this.waiting.length && (done % 50 || performance.now() < until)) {
      const line = this.waiting[done++]();
      if (!this.chunk || this.chunk.childElementCount >= CHUNK) {
        this.chunk = document.createElement("div");
        this.chunk.className = "chunk";
        this.box.append(this.chunk);
      }
      this.chunk.append(line);
      const text = line.textContent.toLowerCase();
      this.lines.push(line);
      this.texts.push(text);
      if (this.needle && text.includes(this.needle)) { line.classList.add("hit"); this.hits += 1; }
    }
    this.waiting.splice(0, done);
    while (this.lines.length > KEPT) {
      const first = this.box.querySelector(".chunk"), count = first.childElementCount;
      first.remove();
      this.lines.splice(0, count);
      this.texts.splice(0, count);
    }
    if (this.toEnd) this.box.scrollTop = this.box.scrollHeight;
    this.tell();
    if (this.waiting.length) this.frame = requestAnimationFrame(() => this.flush());
    else this.settled?.();
  }

  search(text) {
    this.needle = text.trim().toLowerCase();
    this.hits = 0;
    this.box.classList.toggle("searching", this.needle !== "");
    const ranges = [];
    for (let at = 0; at < this.lines.length; at += 1) {
      const hit = this.needle !== "" && this.texts[at].includes(this.needle);
      if (hit) {
        this.hits += 1;
        if (ranges.length < 500) ranges.push(this.lines[at]);
      }
      if (hit !== this.lines[at].classList.contains("hit")) this.lines[at].classList.toggle("hit", hit);
    }
    this.mark(ranges);
    this.tell();
  }

  mark(lines) {
    if (!globalThis.Highlight) return;
    const found = new Highlight();
    for (const line of this.needle ? lines : []) {
      const walker = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
      for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const text = node.data.toLowerCase();
        if (text.length !== node.data.length) continue;
        for (let at = text.indexOf(this.needle); at >= 0; at = text.indexOf(this.needle, at + this.needle.length)) {
          const range = new Range();
          range.setStart(node, at);
          range.setEnd(node, at + this.needle.length);
          found.add(range);
        }
      }
    }
    CSS.highlights.set("found", found);
  }

  tell() {
    if (!this.counter) return;
    const number = (this.needle ? this.hits : this.lines.length).toLocaleString("en");
    const text = this.needle ? `${number} found` : this.lines.length ? `${number} lines` : "";
    if (this.counter.textContent !== text) this.counter.textContent = text;
  }
}

/** The element of a line: text, or pairs of text and classes. Nothing of a log is ever markup. */
function logLine(classes, content, before = []) {
  const line = document.createElement("div");
  line.className = classes;
  line.append(...before);
  if (typeof content === "string") { line.append(content); return line; }
  for (const [text, name] of content) {
    if (!name) { line.append(text); continue; }
    const span = document.createElement("span");
    span.className = name;
    span.textContent = text;
    line.append(span);
  }
  return line;
}

/** The page as it is now; asked for again where the connection breaks or the platform is just being upgraded. */
async function fresh() {
  for (let pause = 250; ; pause = Math.min(pause * 2, 5000)) {
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (answer.ok) return new DOMParser().parseFromString(await answer.text(), "text/html");
      if (answer.status < 500) return null;
    } catch { /* nobody answered */ }
    await new Promise((done) => { setTimeout(done, pause); });
  }
}

/** Puts parts of the page as it is now in the place of those that are shown. */
async function renew(...ids) {
  const page = await fresh();
  for (const id of page ? ids : []) {
    const here = document.getElementById(id), there = page.getElementById(id);
    if (here && there) here.replaceWith(document.adoptNode(there));
  }
  copying();
}

// The page of a deployment.
function deploying() {
  const root = document.getElementById("deploying");
  if (!root) return;
  const view = new LogView(root.querySelector(".log-pane"));
  const states = document.getElementById("step-states");
  const all = root.querySelector("a.all");
  const only = (step) => {
    root.dataset.only = step;
    all.hidden = !step;
    for (const link of $$(".steps .view", root)) {
      if (link.dataset.step === step && step) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current");
    }
    view.box.scrollTop = view.box.scrollHeight;
  };
  const ended = !["queued", "running"].includes(root.dataset.state);
  // Without scripts a link to one step leads to a page of its lines alone; here all lines are needed.
  let seq = Number(root.dataset.seq), whole = !("more" in root.dataset) && !root.dataset.only;
  const listen = () => {
    if (!whole) { view.clear(); seq = 0; whole = true; }
    const source = new EventSource(`${root.dataset.stream}?after=${seq}`);
    const take = (event) => {
      seq = Number(event.lastEventId) || seq;
      for (const [step, second, third] of JSON.parse(event.data)) {
        if (third !== null && second.length === 1) view.add(() => logLine(`l ${second} s-${step}`, third));
        else mark(step, second, third);
      }
    };
    source.addEventListener("message", take);
    source.addEventListener("end", (event) => {
      take(event);
      source.close();
      if (!ended) finish();
    });
    // A broken connection is begun again by the browser itself, one that was refused is not.
    source.addEventListener("error", () => {
      if (ended || source.readyState !== EventSource.CLOSED) return;
      setTimeout(async () => {
        const now = (await fresh())?.getElementById("deploying")?.dataset.state;
        if (["queued", "running"].includes(now)) listen(); else finish();
      }, 1000);
    });
  };
  const finish = async () => {
    await renew("outcome", "deployment-head");
    say(document.querySelector("#outcome .title")?.textContent ?? "");
    const next = root.dataset.next;
    if (next && document.querySelector("#outcome .success")) setTimeout(() => location.assign(next), 1200);
  };
  const mark = (step, state, seconds) => {
    const row = document.getElementById(`step-${step}`);
    const badge = states.content.querySelector(`[data-state="${state}"]`)?.firstElementChild;
    if (!row) { if (!ended) stepRow(step, badge, seconds); return; }
    if (badge) row.querySelector(".mark").replaceChildren(badge.cloneNode(true));
    row.querySelector(".seconds").textContent = seconds ?? "";
    row.querySelector(".view").hidden = false;
  };
  // A step that was not expected: the server knows its words.
  const stepRow = () => { clearTimeout(root.again); root.again = setTimeout(() => renewSteps(), 200); };
  const renewSteps = async () => {
    const there = (await fresh())?.querySelector(".steps");
    if (there) root.querySelector(".steps").replaceWith(document.adoptNode(there));
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-step]");
    if (!link || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    if (ended && !whole) listen();
    only(link.dataset.step);
    if (link.closest("#outcome")) view.box.focus();
  });
  if (root.dataset.only) only(root.dataset.only);
  if (!ended || !whole) listen(); else view.tell();
}

// Resources: instances as they change, and the app's log as it grows.
function resources() {
  const table = document.getElementById("instance-list");
  if (table) {
    const states = document.getElementById("instance-states"), quiet = table.parentElement.querySelector(".quiet-row");
    const source = new EventSource(table.dataset.stream);
    source.addEventListener("instances", (event) => {
      const rows = JSON.parse(event.data).map(([id, revision, state, memory, cpu]) => {
        const row = document.createElement("tr");
        const cells = [null, id, revision, memory, cpu].map((text, at) => {
          const cell = document.createElement("td");
          cell.className = ["", "mono", "num", "num", "num"][at];
          if (at) cell.textContent = text;
          return cell;
        });
        const badge = states.content.querySelector(`[data-state="${state}"]`)?.firstElementChild;
        if (badge) cells[0].append(badge.cloneNode(true));
        row.append(...cells);
        return row;
      });
      table.tBodies[0].replaceChildren(...rows);
      quiet.hidden = rows.length > 0;
    });
  }
  const pane = document.getElementById("app-log");
  if (!pane) return;
  const view = new LogView(pane);
  const form = pane.querySelector("form");
  form.querySelector("button").hidden = true;
  for (const choice of $$("select", form)) choice.addEventListener("change", () => form.requestSubmit());
  const source = new EventSource(pane.dataset.stream);
  source.addEventListener("message", (event) => {
    for (const [at, instance, stream, content] of JSON.parse(event.data)) {
      view.add(() => {
        const time = document.createElement("time"), name = document.createElement("b");
        time.textContent = at;
        name.textContent = instance;
        return logLine(`l ${stream}`, content, instance ? [time, name] : [time]);
      });
    }
  });
}

copying();
confirming();
sendingOnce();
menus();
themes();
times();
tabs();
flash();
availability();
tour();
variables();
editor();
refreshing();
deploying();
resources();
