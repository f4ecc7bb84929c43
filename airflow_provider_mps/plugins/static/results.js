"use strict";
// The results of a DAG run, or the newest of all runs. What Airflow knows comes from its REST API, and what the tasks
// made from the package's own address beside this page, both by the user's own cookie.
// Whatever is shown is set as text, never as markup: prompts and messages may hold anything.

const ROOT = new URL("../", location.href).href;
const API = new URL("api/v2/", ROOT).href;
const PAGE_SIZE = 24;
const REFRESH_MS = 10_000;
const HEARD_MS = 8_000; // what Airflow takes at most to hear of the end of a task's process: triggers/base.py
const NEWEST = 5; // pages of 100 task instances that are looked through for the newest takes
const NEWEST_RUNS = 20;
const ENDED = new Set(["success", "failed", "skipped", "upstream_failed", "removed"]);
const WORDS = {
  success: "done",
  running: "under way",
  deferred: "under way",
  up_for_reschedule: "under way",
  up_for_retry: "is tried again",
  upstream_failed: "not begun",
};
const UNITS = { aigc_audio: "sound", aigc_video: "film" };

let takes = [];
let page = 0;
const made = new Map(); // by run: what its tasks made, and of which state of theirs that is

const byId = (id) => document.getElementById(id);

function element(tag, properties = {}, ...children) {
  const created = Object.assign(document.createElement(tag), properties);
  created.append(...children);
  return created;
}

const button = (label, onclick, className = "") => element("button", { type: "button", textContent: label, onclick, className });

const text = (value) => (value === null || value === undefined || value === "None" ? "" : typeof value === "string" ? value : JSON.stringify(value));

function place() {
  const found = {};
  for (const part of location.hash.slice(1).split("&")) {
    const [name, ...value] = part.split("=");
    try {
      found[name] = decodeURIComponent(value.join("="));
    } catch {
      found[name] = value.join("="); // an older Airflow puts ids in as they are
    }
  }
  return found;
}

// What is asked

async function ask(url, options = {}) {
  const answer = await fetch(url, { ...options, headers: { Accept: "application/json", ...options.headers } });
  if (!answer.ok) throw Object.assign(new Error(`HTTP ${answer.status}`), { status: answer.status });
  return answer.json();
}

const runPath = (of) => `dags/${encodeURIComponent(of.dag_id)}/dagRuns/${encodeURIComponent(of.run_id)}`;
const taskPath = (take) => `${runPath(take)}/taskInstances/${encodeURIComponent(take.task_id)}`;
const runOf = (take) => `${take.dag_id}\n${take.run_id}`;
// Airflow 3.4 names what is mapped or in a loop by its region and its place there.
const indexOf = (take) => take.region_index ?? take.map_index;
const taskOf = (take) => `${take.task_id}\n${indexOf(take)}\n${take.region_id ?? ""}`;
const regionOf = (take) => (take.region_id ? { region_id: take.region_id } : {});
const stateOf = (take) => `${taskOf(take)}\n${take.try_number}\n${take.state}`;

async function instances(of) {
  const path = of.run_id ? `${runPath(of)}/taskInstances?order_by=map_index` : "dags/~/dagRuns/~/taskInstances?order_by=-start_date";
  const all = [];
  for (;;) {
    const answer = await ask(`${API}${path}&limit=100&offset=${all.length}`);
    for (const each of answer.task_instances) {
      all.push(Object.assign(each, { run_id: each.dag_run_id, fields: each.rendered_fields ?? {} }));
    }
    if (!answer.task_instances.length || all.length >= answer.total_entries) return all;
    if (!of.run_id && (all.length >= NEWEST * 100 || all.filter(isTake).length >= PAGE_SIZE)) return all;
  }
}

const hasFields = ({ fields }) => Object.keys(fields).length > 0;

/** A task of this package has a connection of it among its rendered fields; the transfer and MpsApiOperator show nothing. */
const isTake = ({ fields }) => "mps_conn_id" in fields && !("destination" in fields) && !("action" in fields);

/** What the tasks of a run made, by task; it is asked for again when one of them has gone on. */
async function results(of, state) {
  const known = made.get(runOf(of));
  if (known?.state === state) return known.tasks;
  const tasks = new Map();
  let trouble = "";
  try {
    const answer = await ask(`takes?${new URLSearchParams({ dag_id: of.dag_id, run_id: of.run_id })}`);
    for (const each of answer.takes) tasks.set(taskOf(each), each);
  } catch (error) {
    trouble = error.status === 403 ? "You may not see what this task made." : `What this task made cannot be shown: ${error.message}.`;
  }
  tasks.trouble = trouble;
  made.set(runOf(of), { state: trouble ? null : state, tasks });
  return tasks;
}

async function load() {
  const from = location.hash;
  const of = place();
  const found = await instances(of);
  const runs = Map.groupBy(found, runOf);
  const madeIn = async (run) => {
    const [first] = runs.get(run);
    return results(first, runs.get(run).map(stateOf).join());
  };
  // Airflow before 3.3 lists task instances without their rendered fields, and later ones keep none of older runs: there
  // a take is what has pushed the link to MPS's console.
  const known = new Map();
  if (of.run_id || !found.some(hasFields)) {
    await Promise.all([...runs.keys()].slice(0, NEWEST_RUNS).map(async (run) => known.set(run, await madeIn(run))));
  }
  const pushed = (each) => !hasFields(each) && known.get(runOf(each))?.get(taskOf(each))?.console;
  // Before a task begins, nothing of it is rendered: it is a take if another instance of the same task is one.
  const nameOf = (each) => `${each.dag_id}\n${each.task_id}`;
  const tasks = new Set(found.filter((each) => isTake(each) || pushed(each)).map(nameOf));
  const all = found.filter((each) => tasks.has(nameOf(each)));
  const last = Math.max(0, Math.ceil(all.length / PAGE_SIZE) - 1);
  const wanted = of.run_id ? all : shownOf(all, Math.min(page, last));
  await Promise.all(
    [...new Set(wanted.map(runOf))].map(async (run) => {
      const its = known.get(run) ?? (await madeIn(run));
      for (const take of runs.get(run)) Object.assign(take, { made: its.get(taskOf(take)) ?? {}, trouble: its.trouble });
    }),
  );
  if (location.hash !== from) return true; // another run is looked at meanwhile
  takes = all;
  page = Math.min(page, last);
  summarize(of);
  show();
  if (of.run_id) await showDecisions(of);
  // Where all takes have ended, the run may go on, and ask a person.
  return (of.run_id ? found : takes).some((each) => !ENDED.has(each.state)) || takes.some((take) => take.trouble);
}

// What is shown

const summary = (said) => (byId("summary").textContent = said);

function summarize(of) {
  const count = (wanted) => takes.filter(wanted).length;
  const parts = [
    `${takes.length} take${takes.length === 1 ? "" : "s"}${of.run_id ? "" : " of the newest runs"}: ${count((t) => t.state === "success")} done`,
    `${count((t) => ["failed", "upstream_failed"].includes(t.state))} failed`,
    `${count((t) => !ENDED.has(t.state))} not ended`,
  ];
  summary(takes.length ? parts.join(", ") : "No task of Tencent Cloud MPS has begun here yet.");
  const sums = new Map();
  for (const { estimated_cost: cost, currency } of takes.map((take) => take.made?.usage ?? {})) {
    if (typeof cost === "number") sums.set(currency, (sums.get(currency) ?? 0) + cost);
  }
  byId("cost").hidden = !sums.size || !of.run_id;
  byId("cost").textContent = `In all ${[...sums].map(([currency, sum]) => about(sum, currency)).join(" and ")}, by the connection's prices: an estimate, not a bill`;
}

const about = (sum, currency) => `about ${Number(sum.toFixed(4))} ${text(currency)}`;

const shownOf = (all, at) => all.slice(at * PAGE_SIZE, (at + 1) * PAGE_SIZE);

function show() {
  const there = new Map([...byId("takes").children].map((card) => [card.dataset.version, card]));
  const cards = shownOf(takes, page).map((take) => {
    const version = [runOf(take), stateOf(take), JSON.stringify(take.made), take.trouble].join("\n");
    const card = there.get(version) ?? makeCard(take, version); // one that plays goes on playing
    card.take = take;
    return card;
  });
  if (cards.some((card, at) => card !== byId("takes").children[at]) || cards.length !== byId("takes").children.length) {
    byId("takes").replaceChildren(...cards);
  }
  tick();
  byId("all").hidden = players().length < 2;
  const pages = Math.ceil(takes.length / PAGE_SIZE);
  byId("pages").hidden = pages < 2;
  byId("page").textContent = `${page + 1} of ${pages}`;
  byId("back").disabled = page === 0;
  byId("next").disabled = page >= pages - 1;
}

function makeCard(take, version) {
  const { made: its = {} } = take;
  const index = take.loop_iteration?.iteration ?? take.map_index;
  const name = take.rendered_map_index || (index >= 0 ? `${take.task_id} [${index}]` : take.task_id);
  const state = element("span", { className: `state ${take.state}`, title: `Airflow: ${take.state ?? "no state yet"}`, textContent: WORDS[take.state] ?? text(take.state ?? "not begun") });
  const links = element("div", { className: "links" }, link("Log", logPage(take)));
  const files = element("div", { className: "files" }, ...(its.files ?? []).map((file, n) => player(take, file, n)));
  const card = element(
    "article",
    {},
    element("h2", {}, element("span", { textContent: name }), state),
    element("p", { className: "prompt", textContent: asked(take) }),
    files,
    element("p", { className: "facts", textContent: facts(take) }),
    links,
  );
  card.dataset.version = version;
  if (its.console) links.append(link("MPS console", its.console));
  if (!place().run_id) {
    card.prepend(element("p", { className: "note", textContent: `${take.dag_id}, ${take.run_id}` }));
    links.append(link("Run", runPage(take)));
  }
  if (take.trouble && ENDED.has(take.state)) files.append(note(take.trouble));
  if (!hasFields(take) && take.start_date) fill(card, take);
  return card;
}

const asked = ({ fields }) => text(fields.prompt) || text(fields.mps_task_id) || text(fields.input_url);

/** What the list of task instances does not hold, a single one may. */
async function fill(card, take) {
  try {
    take.fields = (await ask(`${API}${taskPath(take)}/${take.map_index}`)).rendered_fields ?? {};
    card.querySelector(".prompt").textContent = asked(take);
    card.querySelector(".facts").textContent = facts(take);
  } catch {
    // the card says the rest
  }
}

const note = (said) => element("p", { className: "note", textContent: said });

/** MPS deletes its own copies after 12 hours. */
function kept({ end_date: end, made: its = {} }) {
  if (!its.files?.length || its.in_cos || !end) return "";
  const until = new Date(Date.parse(end) + 12 * 3_600_000);
  return `${until > Date.now() ? "Kept by MPS until" : "Deleted by MPS"} ${until.toLocaleString([], { dateStyle: "medium", timeStyle: "short" })}`;
}

function facts(take) {
  const { fields, made: its = {} } = take;
  const usage = its.usage ?? {};
  const parts = [[text(usage.model ?? fields.model_name), text(usage.version ?? fields.model_version)].filter(Boolean).join(" ")];
  if (typeof usage.seconds === "number") parts.push(`${Number(usage.seconds.toFixed(1))} s of ${UNITS[usage.kind] ?? "sound or film"}`);
  parts.push(text(usage.resolution));
  if (usage.billed === false) parts.push("not billed");
  else if (usage.state === "FAIL") parts.push("may be billed");
  else if (typeof usage.estimated_cost === "number") parts.push(about(usage.estimated_cost, usage.currency));
  return [parts.filter(Boolean).join(" · "), kept(take)].join("\n").trim();
}

/** For how long what has not ended runs. */
function tick() {
  for (const card of byId("takes").children) {
    const { take } = card;
    if (ENDED.has(take.state) || !take.start_date) continue;
    const seconds = Math.max(0, Math.round((Date.now() - Date.parse(take.start_date)) / 1000));
    const long = seconds < 120 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
    card.querySelector(".state").textContent = `${WORDS[take.state] ?? text(take.state)}, ${long}`;
  }
}

// Links

const runPage = (take) => `${ROOT}dags/${encodeURIComponent(take.dag_id)}/runs/${encodeURIComponent(take.run_id)}`;

const logPage = (take) => `${runPage(take)}/tasks/${encodeURIComponent(take.task_id)}` + (take.map_index >= 0 ? `/mapped/${take.map_index}` : "");

/** Airflow's frame allows no new windows, so a link is followed in the document around it; where that is not open to
 * this page, it is shown as text to copy. */
function link(label, href) {
  const made = button(label, () => {
    try {
      const anchor = window.parent.document.createElement("a");
      Object.assign(anchor, { href, target: "_blank", rel: "noopener noreferrer" });
      anchor.click();
    } catch {
      made.replaceWith(note(href));
    }
  });
  return made;
}

// Files

function player(take, file, n) {
  const query = new URLSearchParams({ dag_id: take.dag_id, run_id: take.run_id, task_id: take.task_id, map_index: indexOf(take), n, ...regionOf(take) });
  const src = `file?${query}`;
  const tag = { audio: "audio", video: "video", image: "img" }[file.kind];
  if (!tag) return link(file.name || `File ${n + 1}`, new URL(src, location.href).href);
  const made = tag === "img" ? element("img", { loading: "lazy", alt: file.name, src }) : element(tag, { preload: "none", controls: true, title: file.name, src });
  made.addEventListener("error", async () => made.replaceWith(note(await trouble(src))));
  return made;
}

/** Why a file does not load; a player itself does not say. */
async function trouble(src) {
  try {
    const answer = await fetch(src, { redirect: "manual" });
    if (answer.type === "opaqueredirect") return "The file does not load: MPS deletes its own copies after 12 hours.";
    return text((await answer.json()).detail) || `The file does not load: HTTP ${answer.status}.`;
  } catch (error) {
    return `The file does not load: ${error.message}.`;
  }
}

const players = () => [...document.querySelectorAll("audio, video")];
let playsAll = false;

function playFrom(next) {
  playsAll = Boolean(next);
  byId("all").textContent = playsAll ? "Stop" : "Play all";
  if (!next) return;
  next.closest("article").scrollIntoView({ block: "nearest" });
  next.currentTime = 0;
  next.play().catch(() => playsAll && playFrom(after(next))); // one that does not load is passed over
}

function after(one) {
  const all = players();
  return all.find((each) => one.compareDocumentPosition(each) & Node.DOCUMENT_POSITION_FOLLOWING);
}

byId("all").onclick = () => {
  if (!playsAll) return playFrom(players()[0]);
  playFrom(null);
  players().forEach((each) => each.pause());
};

// These events do not bubble. One plays at a time.
document.addEventListener("play", (event) => {
  for (const each of players()) if (each !== event.target) each.pause();
  event.target.closest("article").classList.add("plays");
}, true);
for (const name of ["pause", "ended"]) {
  document.addEventListener(name, (event) => event.target.closest("article")?.classList.remove("plays"), true);
}
document.addEventListener("ended", (event) => playsAll && playFrom(after(event.target)), true);

// Decisions

async function showDecisions(of) {
  let waiting = [];
  try {
    waiting = (await ask(`${API}${runPath(of)}/hitlDetails?response_received=false`)).hitl_details;
  } catch {
    // a user who may not see them
  }
  const version = JSON.stringify(waiting);
  if (byId("decisions").dataset.version === version) return;
  byId("decisions").dataset.version = version;
  byId("decisions").replaceChildren(...waiting.map(decision));
}

/** What Airflow shows as Markdown is text here; a link in it may lead anywhere, and most of them lead here. */
const withoutLinks = (markdown) => markdown.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1");

function decision(detail) {
  const task = detail.task_instance;
  task.run_id = task.dag_run_id;
  const buttons = element("div", { className: "links" });
  const box = element("div", { className: "decision" }, element("h2", { textContent: text(detail.subject) }), element("p", { className: "prompt", textContent: withoutLinks(text(detail.body)) }), buttons);
  if (detail.multiple || Object.keys(detail.params ?? {}).length) {
    buttons.append(link("Decide in Airflow", `${logPage(task)}/required_actions`)); // there is a form to fill in
  } else {
    buttons.append(...detail.options.map((option, at) => button(option, () => answer(option), at ? "" : "main")));
  }
  async function answer(option) {
    // Airflow fails a task that is answered before it has heard that its process has ended, and asks again, if at all.
    const options = [...buttons.children];
    const early = HEARD_MS - (Date.now() - Date.parse(detail.created_at));
    if (early > 0) {
      buttons.replaceChildren(note(`${option} is sent in a moment: Airflow cannot take an answer yet. Leave this page open.`));
      await new Promise((sent) => setTimeout(sent, Math.min(early, HEARD_MS))); // the browser's clock may be behind
    }
    try {
      const region = task.region_id ? `?${new URLSearchParams({ ...regionOf(task), region_index: task.region_index })}` : "";
      await ask(`${API}${taskPath(task)}/${task.map_index}/hitlDetails${region}`, {
        method: "PATCH",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ chosen_options: [option], params_input: {} }),
      });
      buttons.replaceChildren(note(`Answered: ${option}`));
    } catch (error) {
      const why = { 403: "You may not decide this.", 409: "Somebody has decided this already." }[error.status];
      buttons.replaceChildren(...options);
      box.append(note(why ?? `Not sent: ${error.message}.`));
    }
  }
  return box;
}

// Again and again

const REFUSED = {
  401: "Your session has ended, or Airflow knows you under another address than this page's: sign in again.",
  403: "You may not see the tasks of this run.",
  404: "There is no such run.",
};

let timer;
async function refresh() {
  clearTimeout(timer);
  const began = performance.now();
  let more = true;
  try {
    more = await load();
  } catch (error) {
    summary(REFUSED[error.status] ?? `Airflow does not answer: ${error.message}. Asked again in a moment.`);
    if (error.status) {
      takes = [];
      byId("cost").hidden = true;
      byId("decisions").replaceChildren();
      show();
    }
  }
  // A large run takes the server's time: a tenth of it at most.
  if (more) timer = setTimeout(refresh, Math.max(REFRESH_MS, 10 * (performance.now() - began)));
}

const turn = (by) => {
  page += by;
  if (place().run_id) show();
  else refresh();
};
byId("back").onclick = () => turn(-1);
byId("next").onclick = () => turn(1);
window.addEventListener("hashchange", () => {
  page = 0;
  refresh();
});
try {
  // Airflow's own switch between light and dark, which the frame does not pass on.
  const { classList } = window.parent.document.documentElement;
  for (const scheme of ["light", "dark"]) if (classList.contains(scheme)) document.documentElement.style.colorScheme = scheme;
} catch {
  // the browser's preference
}
setInterval(tick, 1000);
refresh();
