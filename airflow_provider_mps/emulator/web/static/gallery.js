"use strict";
// What this emulator was asked for and has made, the newest first.
// Whatever is shown is set as text, never as markup: prompts and messages may hold anything.

const PAGE_SIZE = 24;
const REFRESH_MS = 2_000;
const TAGS = { wav: "audio", mp3: "audio", mp4: "video", png: "img", jpg: "img", jpeg: "img", gif: "img" };
const THROTTLED = "RequestLimitExceeded";

let page = 0;

const at = (id) => document.getElementById(id);

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

async function ask(path, options) {
  const answer = await fetch(`emulator/${path}`, options);
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  return answer.json();
}

function show(state) {
  at("rules").textContent = `Rules: ${state.rules}.`;
  at("planned").textContent = state.faults.length ? `Still to strike: ${state.faults.join(", ")}` : "";
  at("summary").textContent = counts(state);
  at("answers").textContent = Object.entries(state.answers)
    .map(([action, answers]) => `${action}: ${Object.entries(answers).map((each) => each.join(" ")).join(", ")}`)
    .join("\n");
  const there = new Map([...at("takes").children].map((card) => [card.dataset.version, card]));
  at("takes").replaceChildren(
    ...state.tasks.reverse().map((task) => {
      const version = `${task.task_id} ${task.state} ${task.failure}`;
      const card = there.get(version) ?? makeCard(task, version); // one that plays goes on playing
      card.querySelector(".state").textContent = task.ended ? task.state : `${task.state} for ${Math.round(state.now - task.created_at)} s`;
      return card;
    }),
  );
  const pages = Math.ceil(state.task_count / PAGE_SIZE);
  at("pages").hidden = pages < 2;
  at("page").textContent = `${page + 1} of ${pages}`;
  at("back").disabled = page === 0;
  at("next").disabled = page >= pages - 1;
}

function counts(state) {
  const calls = Object.entries(state.answers).filter(([action]) => action !== "file").flatMap(([, answers]) => Object.entries(answers));
  const sum = (wanted) => calls.filter(([answer]) => wanted(answer)).reduce((total, [, count]) => total + count, 0);
  const struck = (answer) => answer !== "ok" && answer === answer.toLowerCase(); // a fault's kind, not a code of the API
  return [
    `${state.task_count} tasks`,
    `${sum(() => true)} calls`,
    `${sum((answer) => answer === THROTTLED) - state.refused_for_room} throttled`,
    `${state.refused_for_room} refused for want of room`,
    `${sum((answer) => answer !== "ok" && answer !== THROTTLED && !struck(answer))} refused otherwise`,
    `${sum(struck)} struck by faults`,
  ].join(", ");
}

const asText = (value) => (value === undefined ? "" : String(value));

function makeCard(task, version) {
  const { params } = task;
  const name = [params.ModelName, params.ModelVersion].filter(Boolean).join(" ") || task.action;
  const looks = task.failure ? "failed" : task.ended ? "success" : "running";
  const card = element(
    "article",
    {},
    element("h2", {}, element("span", { textContent: name }), element("span", { className: `state ${looks}` })),
    element("p", { className: "prompt", textContent: asText(params.Prompt) }),
    element("div", { className: "files" }, ...task.files.map((suffix, n) => player(task, suffix, n))),
    element("p", { className: "facts", textContent: `${task.action} · ${task.task_id}` }),
  );
  if (task.failure) card.append(element("p", { className: "note", textContent: task.failure }));
  card.dataset.version = version;
  return card;
}

function player(task, suffix, n) {
  const src = `emulator/files/${task.task_id}/${n}`;
  const tag = TAGS[suffix];
  return tag === "img" ? element(tag, { loading: "lazy", alt: "", src }) : element(tag, { preload: "none", controls: true, src });
}

let timer;
async function refresh() {
  clearTimeout(timer);
  try {
    if (!document.hidden) show(await ask(`state?limit=${PAGE_SIZE}&offset=${page * PAGE_SIZE}`));
  } catch (error) {
    at("summary").textContent = `The emulator does not answer: ${error.message}. Asked again in a moment.`;
  }
  timer = setTimeout(refresh, REFRESH_MS);
}

async function act(path, body) {
  await ask(path, { method: "POST", body: JSON.stringify(body) }).catch(() => {});
  await refresh(); // says what is wrong, too
}

for (const button of document.querySelectorAll("[data-fault]")) {
  button.onclick = () => act("faults", { kind: button.dataset.fault });
}
at("reset").onclick = () => ((page = 0), act("reset", {}));
at("back").onclick = () => ((page -= 1), refresh());
at("next").onclick = () => ((page += 1), refresh());
document.addEventListener("visibilitychange", refresh);
refresh();
