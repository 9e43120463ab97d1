// The lab's page: five views of one state.  The server computes; this script asks, draws, and keeps the state in the address.
//
//     state ── change() ──> address, show() ──> the text, the diagram, the chosen view ── fill() ──> api/NAME of lab's server
//
// Elements that tests drive it by; a number is read from data-value, where it stands in full precision:
//
//     text      #tokens .token[data-t] (data-nll), #edit-text, #text, #text-facts (data-loss), #token-facts, #text-color
//     links     #copy-link, #paste-link, #link, #link-error
//     views     #tab-NAME, #view-NAME: generate, inside, backward, change, training; [aria-busy=true] while it waits, .error
//     diagram   #diagram .node[data-name], .fold[data-block], .heads button[data-block][data-head]
//     generate  #output (data-text), #play, #step, #back, #restart, #speed, #option-NAME (a number), #use-output,
//               #generate-code, #bars tr[data-id] .p (data-value), #bars th[data-stage] (data-possible)
//     inside    #pane-values, #pane-attention, #pane-lens; #value, #gradient, #attention: .squares canvas, and
//               #value-readout, … (data-row, data-column, data-value); #heads button[data-block][data-head];
//               #lens td[data-point][data-t] (data-value), #lens-readout; #of-all-inside, #of-one-inside
//     backward  #of-all, #of-one; #first, #previous, #next, #last; #steps li[data-name] (data-value); #step-equation;
//               #ways tr[data-through] (data-value: all positions, data-at: the chosen one); #inputs tr[data-t] (data-value)
//     change    #grid button[data-name][data-head] (data-value), #measure, #edits tr[data-edit] and #all-edits (data-value: the
//               loss, data-change), #before tr, #after tr (data-value), #code, #copy-code
//     training  #training-state, .plot[data-series] .readout, #samples pre, #open-best
"use strict";

// Elements and words ----------------------------------------------------------------------------------------------------

const $ = id => document.getElementById(id);

// Text goes into the page as text alone: through textContent, never as markup.
function make(tag, parent, properties = {}) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties))
    if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  return parent.appendChild(element);
}

function button(parent, text, act, properties = {}) {
  return make("button", parent, { type: "button", textContent: text, onclick: act, ...properties });
}

const soft = (parent, properties) => make("span", parent, { className: "soft", ...properties });
const note = (parent, properties) => make("p", parent, { className: "soft", ...properties });

function card(parent, title, properties = {}) {
  const box = make("div", parent, { className: "card", ...properties }), line = make("div", box, { className: "line spread" });
  make("h2", line, { textContent: title });
  return [box, line];
}

function empty(element) {
  element.replaceChildren();
  return element;
}

const clamp = (x, least, most) => Math.max(least, Math.min(most, x));
const range = n => Array.from({ length: n }, (_, i) => i);
const running = label => label.replaceAll("␣", " ").replaceAll("⏎", "⏎\n");         // a label as it stands in a text
const quoted = label => `“${label}”`;
const count = n => n.toLocaleString("en");
const brief = (label, most = 14) => label.length > most ? `${label.slice(0, most - 1)}…` : label;
const isMac = /Mac/.test(navigator.platform);

function digits(x, n = 4) {
  if (x === null || x === undefined) return "–";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : x < 0 ? "−∞" : "not a number";
  const isFar = Math.abs(x) >= 1e6 || (x !== 0 && Math.abs(x) < 1e-4);
  return (isFar ? x.toExponential(n - 2) : String(Number(x.toPrecision(n)))).replaceAll("-", "−");
}

const signed = x => x > 0 ? `+${digits(x, 3)}` : digits(x, 3);

function percent(p) {
  if (p > 0 && p < 0.000995) return "< 0.1 %";
  return p >= 0.0995 || p === 0 ? `${(100 * p).toFixed(0)} %` : `${(100 * p).toPrecision(2)} %`;
}

function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

async function copy(text, from) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {                                         // a frame in a notebook may not use the clipboard
    const area = make("textarea", document.body, { value: text });
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  const before = from.dataset.text ??= from.textContent;
  from.textContent = "Copied";
  setTimeout(() => { from.textContent = before; }, 1200);
}

// The arrow keys within an element: move(step along, step down), and where to for Home and End.
function onArrows(element, move, act) {
  element.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const [right, down] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1], Home: [-Infinity, 0],
      End: [Infinity, 0] }[event.key] ?? [0, 0];
    if (right || down) move(right, down);
    else if (act && (event.key === "Enter" || event.key === " ")) act();
    else return;
    event.preventDefault();
  });
}

// The cell of a table so many steps away; its first column has titles.
function cellBeside(cell, right, down) {
  const row = cell.parentElement, rows = [...row.parentElement.children], last = row.children.length - 1;
  return rows[clamp(rows.indexOf(row) + down, 0, rows.length - 1)].children[clamp(cell.cellIndex + right, 1, last)];
}

// Tab stops at one of many buttons, the chosen one; the arrow keys move among them.
function stopOnce(box, chosen) {
  const buttons = [...box.querySelectorAll("button, summary")];
  for (const button of buttons) button.tabIndex = button === (chosen ?? buttons[0]) ? 0 : -1;
}

function moveFocus(box, steps) {
  const shown = [...box.querySelectorAll("button, summary")].filter(button => button.offsetParent);
  shown[clamp(shown.indexOf(document.activeElement) + steps, 0, shown.length - 1)].focus();
}

// What is made anew in a card under the focus gets it again: the control at the same place.
function keepFocus(act) {
  const focused = document.activeElement, box = focused.closest(".card");
  const controls = () => [...box.querySelectorAll("button, input, select")];
  const n = box ? controls().indexOf(focused) : -1, result = act();
  if (n >= 0 && !focused.isConnected) controls()[n]?.focus({ preventScroll: true });
  return result;
}

// A box that can be scrolled sideways fades where there is more.
function showMore(box) {
  const tell = () => {
    const left = box.scrollLeft > 1, right = box.scrollLeft + box.clientWidth < box.scrollWidth - 1;
    box.classList.toggle("more-left", left);
    box.classList.toggle("more-right", right);
  };
  box.addEventListener("scroll", tell);
  new ResizeObserver(tell).observe(box);
  new MutationObserver(tell).observe(box, { childList: true, subtree: true });
}

// Buttons of which one is pressed: {key: text}; chosen(key) when one is clicked.
function segments(parent, label, texts, chosen) {
  const box = make("div", parent, { className: "segments", role: "group", "aria-label": label });
  for (const [key, text] of Object.entries(texts)) button(box, text, () => chosen(key), { "data-key": key });
  return box;
}

function press(box, key) {
  for (const child of box.children) child.setAttribute("aria-pressed", child.dataset.key === String(key));
}

// The state and the address ---------------------------------------------------------------------------------------------

const VIEWS = { generate: "Generate", inside: "Look inside", backward: "Backward", change: "Change it", training: "Training" };
const PANES = { values: "Values and gradients", attention: "Attention", lens: "Logit lens" };
// Of generation: the slider's ends and step, the number that changes nothing, and the greatest that there is.
const OPTIONS = {
  temperature: { title: "temperature", least: 0, most: 2, step: 0.05, neutral: 1, note: "0 takes the likeliest" },
  top_k: { title: "top-k", least: 0, most: 50, step: 1, neutral: 0, whole: true, note: "0 keeps all" },
  top_p: { title: "top-p", least: 0, most: 1, step: 0.01, neutral: 1, bound: 1, note: "1 keeps all" },
  min_p: { title: "min-p", least: 0, most: 1, step: 0.01, neutral: 0, bound: 1, note: "0 keeps all" },
  repetition_penalty: { title: "repetition penalty", least: 1, most: 2, step: 0.05, neutral: 1, note: "1 changes nothing" },
  seed: { title: "seed", neutral: 0, whole: true, bound: Number.MAX_SAFE_INTEGER, note: "the same seed, the same text" },
};

let model;                      // what api/model told
let names = new Map();          // its names: {name: row of the table of equations}
let state;

function defaults() {
  return {
    view: "generate", pane: "values", text: model.text, at: null, name: firstName(), head: 0, of: "all", edits: [], forced: [],
    drawn: 0, options: Object.fromEntries(Object.entries(OPTIONS).map(([key, option]) => [key, option.neutral])),
  };
}

const firstName = () => names.has("h.0.attn.att") ? "h.0.attn.att" : model.names[0].name;

// "#view=inside&at=3": what differs from the defaults, in words that one can read and change by hand.
function address() {
  const before = defaults(), pairs = [["view", state.view], ["model", model.name], ["text", state.text]];
  for (const key of ["pane", "at", "name", "head", "of", "drawn"])
    if (state[key] !== before[key]) pairs.push([key, state[key]]);
  for (const key in OPTIONS) if (state.options[key] !== OPTIONS[key].neutral) pairs.push([key, state.options[key]]);
  if (state.forced.length) pairs.push(["forced", state.forced.join(".")]);
  for (const edit of state.edits) pairs.push(["edit", editText(edit)]);
  const readable = value => encodeURIComponent(value).replaceAll("%20", "+").replaceAll("%2C", ",");
  return `#${pairs.map(([key, value]) => `${key}=${readable(value)}`).join("&")}`;
}

// The state that an address means.  It may come from anyone: what is not of this model or out of bounds is left at its default.
function stateOf(hash) {
  const found = defaults(), given = new URLSearchParams(hash.replace(/^#/, "")), whole = text => /^\d{1,9}$/.test(text ?? "");
  for (const [key, allowed] of [["view", VIEWS], ["pane", PANES]])
    if (Object.hasOwn(allowed, given.get(key))) found[key] = given.get(key);
  if (given.has("text")) found.text = given.get("text");
  if (names.has(given.get("name"))) found.name = given.get("name");
  for (const key of ["at", "head", "drawn", "of"]) if (whole(given.get(key))) found[key] = Number(given.get(key));
  found.head = Math.min(found.head, model.config.n_head - 1);
  if (found.of === 0) found.of = "all";
  for (const key in OPTIONS) found.options[key] = optionOf(key, given.get(key));
  if (/^\d{1,9}(\.\d{1,9})*$/.test(given.get("forced") ?? "")) found.forced = given.get("forced").split(".").map(Number);
  found.edits = given.getAll("edit").map(editOf).filter(edit => edit);
  return found;
}

function optionOf(key, text) {
  const number = Number(text ?? ""), { bound = 1e9, neutral, whole } = OPTIONS[key];
  if (!text || !(number >= 0 && number <= bound) || (key === "repetition_penalty" && number === 0)) return neutral;
  return whole ? Math.floor(number) : number;
}

// An edit as text: "off h.0.attn.o head 2 at 5", "scale h.1.mlp.out by 0.5", "patch h.2.in from To be, or not to be".
function editText(edit) {
  const place = (edit.head === null ? "" : ` head ${edit.head}`) + (edit.position === null ? "" : ` at ${edit.position}`);
  const how = edit.how === "scale" ? ` by ${edit.factor}` : edit.how === "patch" ? ` from ${edit.from}` : "";
  return `${edit.how} ${edit.name}${place}${how}`;
}

function editOf(text) {
  const form = /^(off|scale|patch) (\S+)(?: head (\d{1,4}))?(?: at (\d{1,9}))?(?: by (\S{1,20}))?(?: from ([^]*))?$/;
  const parts = form.exec(text);
  if (!parts || !names.get(parts[2])?.editable) return null;
  const [, how, name, head, position, factor, from] = parts, number = part => part === undefined ? null : Number(part);
  if (Number(head) >= model.config.n_head || !Number.isFinite(Number(factor ?? 0))) return null;
  return { name, head: number(head), position: number(position), how, factor: number(factor) ?? 0.5, from: from ?? "" };
}

// One way to change the state.  A new view or text is a step that the browser's Back takes back.
function change(changes) {
  const step = ("view" in changes && changes.view !== state.view) || ("text" in changes && changes.text !== state.text);
  if ("text" in changes && changes.text !== state.text) Object.assign(state, { at: null, of: "all", forced: [], drawn: 0 });
  Object.assign(state, changes);
  saveAddress(step);
  show();
}

const SAVES = 30, WITHIN = 10_000;      // so often in so many ms: browsers refuse more, and generation may be faster
let saves = [], saving;

function saveAddress(step = false) {
  const now = performance.now();
  clearTimeout(saving);
  saves = saves.filter(time => now - time < WITHIN);
  if (step || saves.length < SAVES) {
    saves.push(now);
    history[step ? "pushState" : "replaceState"](null, "", address());
  } else saving = setTimeout(saveAddress, WITHIN - (now - saves[0]));
}

function restore() {
  pause();
  clearTimeout(saving);
  const wanted = new URLSearchParams(location.hash.replace(/^#/, "")).get("model");
  state = stateOf(location.hash);
  otherModel = wanted !== null && wanted !== model.name ? wanted : null;
  show();
}

let otherModel = null;          // the model that an address was made with, where this is another

// The server ------------------------------------------------------------------------------------------------------------

const KEPT = 16;                // replies that are kept, so that going back needs no computation
const SLOW = 150;               // ms, after which one sees that an answer is waited for
const replies = new Map(), waiting = new Map();

async function ask(name, body, signal) {
  let reply;
  const fields = JSON.stringify({ model: model?.opened, ...body });
  try {
    reply = await fetch(`api/${name}`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: fields, signal, credentials: "omit",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The lab's server does not answer. Is `python -m minigpt lab` still running?");
  }
  const packed = reply.headers.get("Content-Type")?.startsWith("application/octet-stream");
  const found = packed ? unpack(await reply.arrayBuffer()) : await reply.json().catch(() => ({}));
  if (!reply.ok)
    throw Object.assign(new Error(found.error ?? `The lab's server answered with status ${reply.status}.`), { most: found.most });
  return found;
}

// Length of a header, the header as JSON, then the arrays' numbers: api/arrays, api/backward.
function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const found = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  for (const array of found.arrays)
    array.numbers = new Float32Array(buffer, 4 + length + array.offset, array.shown.reduce((a, b) => a * b, 1));
  return found;
}

// Ask, and draw the reply into a box.  The box's earlier request is abandoned, so that the server stops it; from 150 ms on
// the box is marked as busy, and an error is a sentence in it.  -> whether it was drawn
async function fill(box, name, body, draw) {
  const key = JSON.stringify([name, body]), before = waiting.get(box), request = { key, abort: new AbortController() };
  if (before?.key === key) {
    before.draw = draw;
    return before.done;
  }
  before?.abort.abort();
  request.draw = draw;
  waiting.set(box, request);
  request.done = answer(box, request, name, body);
  return request.done;
}

async function answer(box, request, name, body) {
  const slow = setTimeout(() => box.setAttribute("aria-busy", true), SLOW);
  try {
    const reply = replies.get(request.key) ?? await ask(name, body, request.abort.signal);
    if (waiting.get(box) !== request) return false;
    keep(request.key, reply);
    tellError(box, null);
    keepFocus(() => request.draw(reply));
    return true;
  } catch (error) {
    if (error.name === "AbortError" || waiting.get(box) !== request) return false;
    tellError(box, error.message, error.most);
    if (!(error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError)) return false;
    throw error;                                        // a fault of this script belongs into the console too
  } finally {
    clearTimeout(slow);
    if (waiting.get(box) === request) {
      waiting.delete(box);
      box.removeAttribute("aria-busy");
    }
  }
}

function keep(key, reply) {
  replies.delete(key);
  replies.set(key, reply);
  if (replies.size > KEPT) replies.delete(replies.keys().next().value);
}

// Nothing is computed that no view shows: boxes that were left give up their requests.
function abandon(boxes) {
  for (const box of boxes) {
    waiting.get(box)?.abort.abort();
    waiting.delete(box);
    box.removeAttribute("aria-busy");
  }
}

// most: of a text that is too long, how many tokens there is room for
function tellError(box, sentence, most) {
  let place = box.querySelector(":scope > .error");
  if (!place && sentence) place = make("p", box, { className: "error", role: "alert" });
  if (place) Object.assign(place, { textContent: sentence ?? "", hidden: !sentence });
  if (most) button(place, `Take the last ${count(most)} tokens`, () => takeLast(most), { className: "take-last" });
  box.classList.toggle("failed", Boolean(sentence));          // what it showed before is out of date
}

// Colors, as in colors.py: the opacity is √(|x| / full), blue above zero, orange below, gray what is not finite -------------

const tone = (x, full) => Math.sign(x) * Math.sqrt(Math.min(Math.abs(x) / (full || 1), 1));

function color(tone, greatest = 1) {
  const rgb = tone >= 0 ? model.colors.blue : model.colors.orange;
  return `rgba(${rgb},${(greatest * Math.min(Math.abs(tone), 1)).toFixed(3)})`;
}

function pixels(numbers, full) {
  const { blue, orange, gray, gray_opacity } = model.colors, data = new Uint8ClampedArray(4 * numbers.length);
  numbers.forEach((x, i) => {
    const isNumber = Number.isFinite(x), rgb = !isNumber ? gray : x >= 0 ? blue : orange;
    for (let c = 0; c < 3; c++) data[4 * i + c] = rgb[c];
    data[4 * i + 3] = Math.round(255 * (isNumber ? Math.abs(tone(x, full)) : gray_opacity));
  });
  return data;
}

function paint(canvas, rows, columns, numbers, full) {
  canvas.width = columns;
  canvas.height = rows;
  canvas.getContext("2d").putImageData(new ImageData(pixels(numbers, full), columns, rows), 0, 0);
}

// A scale with its numbers, from −full or 0 to full.
function scale(parent, full, { amount = false, unit = "", gray = "", greatest = 1 } = {}) {
  const box = make("span", parent, { className: "scale" }), n = 120;
  make("span", box, { className: "number", textContent: amount ? "0" : digits(-full, 3) });
  const canvas = make("canvas", box, { role: "img", "aria-label": `scale from ${amount ? 0 : -full} to ${full}` });
  paint(canvas, 1, n, range(n).map(i => amount ? full * i / (n - 1) : full * (2 * i / (n - 1) - 1)), full / greatest ** 2 || 1);
  make("span", box, { className: "number", textContent: `${digits(full, 3)}${unit && ` ${unit}`}` });
  if (gray) {
    const { gray: rgb, gray_opacity } = model.colors;
    make("span", box, { className: "gray" }).style.background = `rgba(${rgb},${gray_opacity})`;
    make("span", box, { textContent: gray });
  }
  return box;
}

function bar(parent, share, { title = "", ahead = 1 } = {}) {
  const box = make("div", parent, { className: "bar", title }), fill = make("i", box);
  fill.style.width = `${100 * clamp(share, 0, 1)}%`;
  fill.style.background = color(ahead, 0.85);
  return box;
}

// A bar's length on a logarithmic scale that spans all of `numbers`, the least of them a twentieth.
function byLogarithm(numbers) {
  const logs = numbers.filter(x => x > 0).map(Math.log10), least = Math.min(...logs), most = Math.max(...logs);
  return x => x > 0 ? 0.05 + 0.95 * (Math.log10(x) - least) / (most - least || 1) : 0;
}

// The text --------------------------------------------------------------------------------------------------------------

let passed = null;              // the reply of api/pass for the shown text and edits
let hovered = null;             // the token under the pointer
const PAUSE = 250;              // ms without typing, after which a text is read
let typing;                     // the timer that waits for it

const T = () => passed.tokens.length;
const label = t => passed.tokens[t]?.label ?? "";
const at = () => hovered ?? state.at;
const placeOfToken = t => `${quoted(label(t))} (position ${t})`;

async function passText() {
  const panel = $("text-panel"), body = { text: state.text, edits: state.edits };
  return fill(panel, "pass", body, reply => {
    const ids = found => found?.tokens.map(token => token.id).join(), same = ids(passed) === ids(reply);
    passed = reply;
    state.at = clamp(state.at ?? T() - 1, 0, T() - 1);
    if (state.of !== "all" && state.of >= T()) state.of = "all";
    if (!same) makeTokens();
    const facts = $("text-facts");
    facts.textContent = T() === 1 ? "1 token; from two on there is a loss" :
      `${T()} tokens · loss ${digits(reply.loss)} nats per token · perplexity ${digits(Math.exp(reply.loss), 3)}`;
    facts.dataset.loss = reply.loss ?? "";
  });
}

function makeTokens() {
  const box = empty($("tokens"));
  hovered = null;
  passed.tokens.forEach((token, t) => make("span", box, {
    className: "token", textContent: running(token.label), id: `token-${t}`, role: "option", "data-t": t,
    "aria-label": `${token.label}, position ${t}`,
  }));
}

function drawText() {
  document.querySelectorAll(".token").forEach((token, t) => {
    token.setAttribute("aria-selected", t === state.at);
    token.classList.toggle("of", t === state.of);
    token.dataset.nll = passed.nll[t] ?? "";
  });
  $("tokens").setAttribute("aria-activedescendant", `token-${state.at}`);
  scrollWithin($("tokens"), $(`token-${state.at}`));
  colorBySurprise();
  tellToken();
}

// Color the text by numbers, one for each token, and say what they are; `later` are tokens that the chosen one does not see.
function colorText(numbers, full, words, { amount = true, unit = "", after = Infinity } = {}) {
  document.querySelectorAll(".token").forEach((token, t) => {
    token.style.background = Number.isFinite(numbers[t]) ? color(tone(numbers[t], full), model.colors.under_text) : "";
    token.classList.toggle("later", t > after);
  });
  const legend = empty($("text-color"));
  make("span", legend, { textContent: `Color: ${words}` });
  scale(legend, full, { amount, unit, greatest: model.colors.under_text });
}

function colorBySurprise() {
  colorText(passed.nll.map(x => x ?? NaN), Math.log(model.config.vocab_size),
    "surprise of each token; full blue is a token drawn at random", { unit: "nats" });
}

function tellToken() {
  const box = empty($("token-facts")), t = at(), nll = passed.nll[t];
  make("b", box, { textContent: `${quoted(label(t))}, position ${t}` });
  const surprise = nll !== null && `surprise ${digits(nll, 3)} nats, p ${digits(Math.exp(-nll), 3)}`;
  make("span", box, { textContent: surprise || "nothing before it predicts it" });
  soft(box, { textContent: "· expected next:" });
  for (const { label, p } of passed.predictions[t]) {
    const chip = make("span", box, { className: "chip", textContent: `${label} ${percent(p)}`, "data-value": p });
    chip.style.background = color(tone(p, 1), model.colors.under_text);
  }
}

function hover(t) {
  hovered = t;
  tellToken();
  if (state.view === "inside") lookFrom(at());
}

function buildText() {
  const box = $("tokens"), area = $("text"), of = event => event.target.closest(".token");
  box.onclick = event => of(event) && change({ at: Number(of(event).dataset.t) });
  box.ondblclick = () => edit(true);
  box.onpointerover = event => of(event) && passed && hover(Number(of(event).dataset.t));
  box.onpointerleave = () => passed && hover(null);
  onArrows(box, (right, down) => {
    hovered = null;
    if (passed) change({ at: clamp(state.at + right + down, 0, T() - 1) });
  }, () => edit(true));
  $("edit-text").onclick = () => edit(area.hidden);
  area.oninput = () => {
    clearTimeout(typing);
    typing = setTimeout(takeText, PAUSE);
  };
  area.onkeydown = event => {
    if (event.key === "Escape" || (event.key === "Enter" && (event.ctrlKey || event.metaKey))) edit(false);
  };
}

function takeText() {
  clearTimeout(typing);
  if ($("text").value !== state.text) change({ text: $("text").value });
}

function takeLast(most) {
  fill($("text-panel"), "last", { text: state.text, most }, ({ text }) => {
    $("text").value = text;
    change({ text });
  });
}

// The tokens give way to a field with their text, in the same place.
function edit(on) {
  const area = $("text");
  if (on) area.value = state.text;
  else takeText();
  area.hidden = !on;
  $("tokens").hidden = on;
  $("edit-text").textContent = on ? "Done" : "Edit";
  $("edit-text").title = on ? `also ${isMac ? "⌘" : "Ctrl"}+Enter or Escape` : "also a double click, or Enter";
  (on ? area : $("tokens")).focus({ preventScroll: true });
}

// What names stand for, for those who meet them here: of a name the last part, of a part that has two meanings both.
const WORDS = {
  mean: "the mean over the channels", rstd: "one over the standard deviation over the channels, 1/σ",
  xhat: "x̂, the input with mean 0 and variance 1", q: "queries: what each token looks for",
  k: "keys: what each token offers to be found by", v: "values: what each token hands on", scores: "how well queries and keys fit",
  att: "attention: how much each token looks at each other", o: "what each head collects", pre: "the MLP before its nonlinearity",
  act: "the MLP after its nonlinearity", mid: "the residual stream between attention and MLP", logits: "a number for each next token",
  logp: "the logarithm of each next token's probability", probs: "each next token's probability",
  nll: "surprise: −log of the probability that the true next token was given", loss: "the mean surprise, which training lowers",
  "wte.out": "the embeddings of the tokens", "wpe.out": "the embeddings of the positions", "ln_1.out": "what attention reads",
  "ln_2.out": "what the MLP reads", "ln_f.out": "what the output layer reads", "attn.out": "what attention adds to the stream",
  "mlp.out": "what the MLP adds to the stream", in: "the residual stream that enters the block",
  out: "the residual stream that leaves the block",
};
const LENGTH = "‖x‖ is the length of x as one vector: the root of the sum of its squares";

const wordsOf = name => WORDS[name.split(".").slice(-2).join(".")] ?? WORDS[name.split(".").at(-1)] ?? "";

// The diagram: the model from tokens to loss ------------------------------------------------------------------------------

let openBlock = 0;

const blockOf = name => name.startsWith("h.") ? Number(name.split(".")[1]) : null;
const hasHeads = name => names.get(name)?.axes.split(" ").includes("H");
const headName = block => hasHeads(state.name) ? state.name.replace(/^h\.\d+/, `h.${block}`) : `h.${block}.attn.att`;

// Names in the order of computation as [{block, group, names}]: the stream's points are groups of their own.
function groups(rows) {
  const found = [];
  for (const { name } of rows) {
    const parts = name.split("."), block = blockOf(name), rest = block === null ? parts : parts.slice(2);
    const group = rest.length > 1 ? rest[0] : block === null ? "output" : null;
    const last = found.at(-1);
    if (last && group !== null && last.block === block && last.group === group) last.names.push(name);
    else found.push({ block, group, names: [name] });
  }
  return found;
}

function buildDiagram() {
  const box = empty($("diagram")), activations = groups(model.names.filter(row => row.kind === "activation"));
  const parameters = groups(model.names.filter(row => row.kind === "parameter"));
  const weights = (block, group) => parameters.filter(x => x.block === block && x.group === group).flatMap(x => x.names);
  const place = make("div", box), outer = activations.filter(group => group.block === null);
  const before = outer.filter(group => /^w[tp]e$/.test(group.group)), after = outer.filter(group => !before.includes(group));
  const stage = make("div", make("div", place, { className: "stage starts" }), { className: "embeddings" });
  for (const { group, names } of before)
    layer(stage, group, group === "wte" ? "tokens" : "positions", names, weights(null, group), name => name);
  for (const block of range(model.config.n_layer))
    buildBlock(place, block, activations.filter(group => group.block === block), weights);
  after.forEach(({ group, names }, i) => {
    const stage = make("div", place, { className: `stage${i === after.length - 1 ? " ends" : ""}` });
    layer(stage, group, group === "output" ? "output and loss" : "ln_f, the last norm", names,
      group === "output" ? weights(null, "lm_head") : weights(null, group));
  });
}

function buildBlock(place, block, groups, weights) {
  const header = make("div", place, { className: "stage fold-line" });
  const fold = button(header, "", () => openOrClose(block),
    { className: "fold", "data-block": block, "aria-controls": `block-${block}` });
  make("b", fold, { textContent: `h.${block}` });
  soft(fold, { textContent: "" });
  make("i", fold);
  const body = make("div", place, { id: `block-${block}`, className: "block" });
  let branch = null;
  for (const { group, names } of groups) {
    if (group === null) {
      branch = null;
      const stage = make("div", body, { className: "stage point" });
      node(stage, names[0], names[0].split(".")[2]);
      continue;
    }
    if (!branch || !model.config.pre_norm) {            // after the sum, a norm stands in the stream itself
      const leaves = model.config.pre_norm || !group.startsWith("ln");
      branch = make("div", body, { className: leaves ? "stage branch" : "stage" });
      if (leaves) make("span", branch, { className: "way" });
    }
    const box = layer(branch, group, LAYER_WORDS[group] ?? group, names, weights(block, group));
    if (group === "attn") buildHeads(box, block);
  }
}

const LAYER_WORDS = { ln_1: "ln_1, norm", attn: "attn, attention", ln_2: "ln_2, norm", mlp: "mlp" };

const shortName = name => name.split(".").slice(blockOf(name) === null ? 0 : 3).join(".").replace(/^ln_f\./, "");

function layer(parent, group, title, names, parameters, short = shortName) {
  const box = make("div", parent, { className: "layer" });
  make("h3", box, { textContent: title });
  const nodes = make("div", box, { className: "nodes" });
  for (const name of names) node(nodes, name, short(name));
  if (parameters.length) {
    const details = make("details", box, { className: "params" });
    make("summary", details, { textContent: parameters.length > 1 ? "weights" : "W", title: `parameters of ${title}` });
    const inner = make("div", details, { className: "nodes" });
    for (const name of parameters) node(inner, name, short(name), "node parameter");
  }
  return box;
}

function node(parent, name, text, className = "node") {
  const element = button(parent, text, () => change({ name }),
    { className, "data-name": name, title: [name, wordsOf(name), names.get(name).forward].filter(text => text).join(": ") });
  make("i", element);
  return element;
}

function buildHeads(box, block) {
  const row = make("div", box, { className: "heads", role: "group", "aria-label": `heads of block ${block}` });
  make("span", row, { textContent: "heads" });
  for (const head of range(model.config.n_head))
    button(row, head, () => change({ head, name: headName(block) }),
      { "data-block": block, "data-head": head, "aria-label": `head ${head}` });
}

// To open a block is to look at the same name in it.
function openOrClose(block) {
  const name = blockOf(state.name) === null ? state.name : state.name.replace(/^h\.\d+/, `h.${block}`);
  openBlock = openBlock === block && blockOf(state.name) !== block ? null : block;
  change({ name });
}

function drawDiagram() {
  const block = blockOf(state.name) ?? openBlock;
  openBlock = block;
  for (const fold of document.querySelectorAll(".fold")) {
    const open = Number(fold.dataset.block) === block;
    fold.setAttribute("aria-expanded", open);
    fold.children[1].textContent = open ? " block" : " block, folded";
    $(`block-${fold.dataset.block}`).hidden = !open;
  }
  for (const node of document.querySelectorAll("#diagram .node")) {
    const { name } = node.dataset, chosen = name === state.name;
    node.setAttribute("aria-pressed", chosen);
    node.classList.toggle("edited", state.edits.some(edit => edit.name === name && edit.head === null));
    if (chosen && node.closest("details")) node.closest("details").open = true;
    if (chosen) scrollWithin($("diagram"), node);
  }
  for (const head of document.querySelectorAll(".heads button")) {
    const [block, number] = [Number(head.dataset.block), Number(head.dataset.head)];
    head.setAttribute("aria-pressed", number === state.head && hasHeads(state.name));
    head.classList.toggle("edited", state.edits.some(edit => blockOf(edit.name) === block && edit.head === number));
  }
  stopOnce($("diagram"), document.querySelector("#diagram .node[aria-pressed=true]"));
  if (state.view !== "backward") drawNorms(null);
}

// The gradient's norm at each point, as a bar under its name; a folded block shows its greatest.
function drawNorms(norms) {
  const share = norms && byLogarithm([...norms.values()]);
  for (const node of document.querySelectorAll("#diagram .node"))
    node.lastChild.style.width = norms?.has(node.dataset.name) ? `${100 * share(norms.get(node.dataset.name))}%` : "0";
  for (const fold of document.querySelectorAll(".fold")) {
    const inside = [...norms ?? []].filter(([name]) => blockOf(name) === Number(fold.dataset.block)).map(([, norm]) => norm);
    fold.lastChild.style.width = inside.length ? `${100 * share(Math.max(...inside))}%` : "0";
  }
}

// Pictures of arrays ----------------------------------------------------------------------------------------------------

const AXES = {
  T: "position", C: "channel", "4C": "channel", "3C": "channel", n_inner: "channel", D: "channel of the head", V: "token",
  n_positions: "position",
};

// The rows and columns that the server sent of one array; of its heads, one.
function matrix(array, tokens, head = 0) {
  const [rows, columns] = array.shown.slice(-2), perHead = array.shown.length === 3, size = rows * columns;
  const first = perHead ? Math.min(head, array.shown[0] - 1) * size : 0;
  const isWeights = array.name.endsWith(".attn.att") && array.which === "value";
  const finite = Math.max(Math.abs(array.least ?? 0), Math.abs(array.greatest ?? 0));
  return {
    rows, columns, numbers: array.numbers.subarray(first, first + size), full: isWeights ? 1 : finite, amount: array.least >= 0,
    square: /\.attn\.(att|scores)$/.test(array.name),
    rowAxis: array.row_axis, columnAxis: array.column_axis, trueRow: i => array.rows[i], trueColumn: j => array.columns[j],
    rowName: i => axisName(array.row_axis, array.rows[i], tokens, array.row_labels?.[i]),
    columnName: j => axisName(array.column_axis, array.columns[j], tokens, array.column_labels?.[j]),
    between: isWeights ? " looks at " : ", ",
  };
}

function axisName(axis, i, tokens, given) {
  if (given) return { label: given, words: `${quoted(given)} (id ${i})` };
  const token = axis === "T" && tokens[i];
  if (token) return { label: token.label, words: `${quoted(token.label)} (position ${i})`, position: i };
  return axis === "1" ? { label: "", words: "" } : { label: String(i), words: `${AXES[axis] ?? axis} ${i}` };
}

// A picture with labels at its rows and columns, a scale, and a line that tells the number under the pointer or the arrow keys.
class Picture {
  constructor(parent, id, { moved = () => {}, chosen = () => {} } = {}) {
    this.moved = moved;
    this.cursor = null;
    const box = make("div", parent, { className: "picture", id }), frame = make("div", box, { className: "frame" });
    this.box = box;
    this.rowLabels = make("div", frame, { className: "rows" });
    this.squares = make("div", frame,
      { className: "squares", tabIndex: 0, role: "application", "aria-describedby": `${id}-readout` });
    this.columnLabels = make("div", frame, { className: "columns" });
    this.canvas = make("canvas", this.squares);
    this.row = make("div", this.squares, { className: "row" });
    this.cell = make("div", this.squares, { className: "cell" });
    this.readout = make("p", box, { className: "readout", id: `${id}-readout`, "aria-live": "polite" });
    this.facts = make("div", box, { className: "facts" });
    this.squares.onpointermove = this.squares.onpointerdown = event => this.pointAt(event);
    this.squares.onclick = () => this.cursor && chosen(...this.cursor);
    onArrows(this.squares, (right, down) => this.move(right, down), () => this.cursor && chosen(...this.cursor));
  }

  draw(matrix, words, { space = this.box.clientWidth, facts = [], gray = "" } = {}) {
    this.matrix = matrix;
    paint(this.canvas, matrix.rows, matrix.columns, matrix.numbers, matrix.full);
    this.arrange(Math.max(space, 120));
    this.squares.setAttribute("aria-label", `${words}; the arrow keys move, Enter chooses`);
    scale(empty(this.facts), matrix.full, { amount: matrix.amount, gray });
    for (const fact of facts) make("span", this.facts, { textContent: fact });
    const [row, column] = this.cursor ?? [matrix.rows - 1, 0];
    this.point(clamp(row, 0, matrix.rows - 1), clamp(column, 0, matrix.columns - 1));
  }

  // Squares of whole pixels of the screen, so that all are equally large and sharp; many numbers fill the space.
  arrange(space) {
    const { rows, columns, square, rowAxis, columnAxis } = this.matrix, ratio = devicePixelRatio;
    const whole = size => size * ratio >= 4 ? Math.floor(size * ratio) / ratio : size;
    const names = range(rows).map(i => this.matrix.rowName(i));
    const crowded = (square ? (space - 60) / columns : 420 / rows) < pitchOf(names);     // then labels have numbers
    const longest = Math.max(...names.map(({ label }) => label.length)) + (crowded ? 4 : 0);
    const left = rowAxis === "1" ? 0 : 8 + 7.3 * Math.min(11, longest);
    const width = whole(Math.min((space - left - 4) / columns, square ? 24 : 28));
    const height = square ? width : whole(Math.min(18, 420 / rows, rows === 1 ? 28 : 18));
    this.size = [width * columns, height * rows];
    this.canvas.style.width = `${width * columns}px`;
    this.canvas.style.height = `${height * rows}px`;
    this.canvas.style.imageRendering = Math.min(width, height) * ratio >= 1 ? "pixelated" : "auto";
    this.squares.style.width = this.canvas.style.width;
    labels(this.rowLabels, names, height);
    this.rowLabels.style.height = `${height * rows}px`;
    this.arrangeColumns(columnAxis, columns, width);
  }

  arrangeColumns(axis, columns, width) {
    const box = empty(this.columnLabels), names = range(columns).map(j => this.matrix.columnName(j));
    const words = ["T", "V"].includes(axis);
    box.style.width = `${width * columns}px`;
    box.className = `columns ${words ? "vertical" : "ends"}`;
    box.style.font = "";
    box.style.textOrientation = isUpright(names) && width >= pitchOf(names) ? "upright" : "mixed";
    if (words) return labels(box, names, width);
    make("span", box, { textContent: names[0].label });
    if (columns > 20) make("span", box, { textContent: AXES[axis] ?? axis });
    if (columns > 1) make("span", box, { textContent: names.at(-1).label });
  }

  pointAt(event) {
    if (!this.matrix) return;
    const box = this.canvas.getBoundingClientRect(), { rows, columns } = this.matrix;
    this.point(clamp(Math.floor((event.clientY - box.top) / box.height * rows), 0, rows - 1),
      clamp(Math.floor((event.clientX - box.left) / box.width * columns), 0, columns - 1));
    this.moved(...this.cursor);
  }

  move(right, down) {
    if (!this.matrix) return;
    const { rows, columns } = this.matrix, [row, column] = this.cursor;
    this.point(clamp(row + down, 0, rows - 1), clamp(column + right, 0, columns - 1));
    this.moved(...this.cursor);
  }

  point(row, column) {
    const { rows, columns, numbers, rowName, columnName, trueRow, trueColumn, between } = this.matrix;
    this.cursor = [row, column];
    const [width, height] = [this.size[0] / columns, this.size[1] / rows], px = x => `${x}px`;
    Object.assign(this.row.style, { top: px(row * height), width: px(this.size[0]), height: px(height) });
    Object.assign(this.cell.style, { top: px(row * height), left: px(column * width), width: px(width), height: px(height) });
    const value = numbers[row * columns + column], readout = empty(this.readout);
    const place = [rowName(row).words, columnName(column).words].filter(words => words);
    make("span", readout, { textContent: place.length ? `${place.join(between)}: ` : "" });
    make("output", readout, { textContent: digits(value, 7) });
    Object.assign(readout.dataset, { row: trueRow(row), column: trueColumn(column), value: String(value) });
  }
}

// The least pixels from one label to the next; single characters can stand closer.
const pitchOf = names => isUpright(names) ? 9 : 12;
const isUpright = names => names.every(({ label }) => [...label].length === 1);

// Labels beside rows of that height: every n-th, with its position, where there is no room for all.
function labels(box, names, height) {
  const every = Math.max(1, Math.ceil(pitchOf(names) / height));
  const shown = names.filter((_, i) => i % every === 0);
  box.textContent = shown.map(({ label, position }) =>
    every > 1 && position !== undefined ? `${position} ${brief(label, 8)}` : brief(label, 11)).join("\n");
  box.style.font = `${Math.min(12, every * height - 0.5)}px/${every * height}px var(--mono)`;
}

const PIECE = 256;                  // rows or columns of one picture

// What a picture can show of an array that is larger than it: every n-th, or a piece.
function rangeChoice(parent, word, full, shown, piece, isVocabulary, chosen) {
  if (full <= shown.length && !piece) return;
  const whole = isVocabulary ? "those that matter" : `all ${count(full)}, one in ${Math.ceil(full / PIECE)}`;
  const box = make("label", parent, { textContent: `${word} ` }), choice = make("select", box);
  const until = from => Math.min(from + PIECE, full);
  choice.append(new Option(whole, ""));
  for (let from = 0; from < full; from += PIECE) choice.append(new Option(`${from} … ${until(from) - 1}`, from));
  choice.value = piece ? piece[0] : "";
  choice.onchange = () => chosen(choice.value === "" ? null : [Number(choice.value), until(Number(choice.value))]);
}

// Of which loss the gradients are -----------------------------------------------------------------------------------------

function ofChoice(parent, suffix) {
  soft(parent, { textContent: "Gradients of the loss of" });
  const box = make("div", parent, { className: "segments", role: "group", "aria-label": "Loss whose gradients are shown" });
  button(box, "all tokens", () => change({ of: "all" }), { id: `of-all${suffix}` });
  button(box, "", () => change({ of: state.of === "all" ? state.at : state.of }), { id: `of-one${suffix}` });
  button(box, "", () => change({ of: state.at }), { id: `of-other${suffix}` });
}

function drawOf(suffix) {
  const all = $(`of-all${suffix}`), one = $(`of-one${suffix}`), other = $(`of-other${suffix}`);
  const t = state.of === "all" ? state.at : state.of, token = t => `token ${t}, ${quoted(brief(label(t)))}`;
  all.setAttribute("aria-pressed", state.of === "all");
  Object.assign(one, { textContent: t === 0 ? "the chosen token" : token(t), disabled: t === 0 });
  one.title = t === 0 ? "Nothing predicts the first token: it has no loss. Choose another in the text." : "";
  one.setAttribute("aria-pressed", state.of !== "all");
  Object.assign(other, { textContent: token(state.at), hidden: state.of === "all" || state.at === state.of || state.at === 0 });
  other.setAttribute("aria-pressed", false);
}

const lossWords = () => state.of === "all" ? "the mean loss of all tokens" : `the loss of ${placeOfToken(state.of)}`;

// Pictures and gradients are for texts up to a length that the server names.
function tooLong(box) {
  const long = T() > model.longest, most = `pictures and gradients are shown for up to ${model.longest}`;
  tellError(box, long ? `This text has ${T()} tokens; ${most}. Shorten it to look inside. ` : null, long && model.longest);
  return long;
}

// Look inside -----------------------------------------------------------------------------------------------------------

let value, gradient, attention;             // pictures
let attended = null;                        // the attention whose rows are drawn over the text
let pieces = {};                            // ranges of rows and columns that were chosen for the shown name

function buildInside(view) {
  const bar = make("div", view, { className: "toolbar" });
  segments(bar, "What to look at", PANES, pane => change({ pane })).id = "panes";
  for (const child of $("panes").children) child.id = `pane-${child.dataset.key}`;
  const of = make("div", bar, { className: "line", id: "of-line-inside" });
  ofChoice(of, "-inside");
  buildValues(make("div", view, { id: "values", className: "stack" }));
  buildAttention(make("div", view, { id: "attention-pane" }));
  buildLens(view);
}

function buildValues(box) {
  make("div", box, { className: "card line", id: "about-name" });
  const pair = make("div", box, { className: "pair", id: "value-and-gradient" });
  const [left, right] = ["value", "gradient"].map(kind => {
    const side = make("div", pair, { className: "card", id: `${kind}-card` });
    make("h2", side, { id: `${kind}-title` });
    make("p", side, { className: "equation", id: `${kind}-equation` });
    make("code", side, { className: "code", id: `${kind}-code` });
    make("p", side, { className: "where", id: `${kind}-where` });
    return side;
  });
  const both = (row, column) => {                          // the same place in both pictures
    for (const picture of [value, gradient]) if (picture.matrix && !picture.box.hidden) picture.point(row, column);
    if (/\.attn\.att$/.test(state.name)) lookFrom(value.matrix.trueRow(row));
  };
  const chosen = row => value.matrix.rowAxis === "T" && change({ at: value.matrix.trueRow(row) });
  value = new Picture(left, "value", { moved: both, chosen });
  gradient = new Picture(right, "gradient", { moved: both, chosen });
  make("div", left, { className: "ranges", id: "ranges" });
  make("p", right, { className: "soft", id: "no-gradient" });
}

function drawInside() {
  press($("panes"), state.pane);
  $("values").hidden = state.pane !== "values";
  $("attention-pane").hidden = state.pane !== "attention";
  $("lens-pane").hidden = state.pane !== "lens";
  $("of-line-inside").hidden = state.pane !== "values";
  drawOf("-inside");
  const boxes = { values: $("value-and-gradient"), attention: $("attention-pane"), lens: $("lens-pane") };
  abandon(Object.keys(boxes).filter(key => key !== state.pane).map(key => boxes[key]));
  attended = null;
  if (tooLong($("view-inside"))) return;
  ({ values: drawValues, attention: drawAttention, lens: drawLens })[state.pane]();
}

function about(name) {
  const row = names.get(name), line = empty($("about-name"));
  make("h2", line, { className: "mono", textContent: name, id: "chosen-name" });
  make("span", line, { className: "soft", id: "chosen-shape", textContent: `axes ${row.axes || "none: a number"}` });
  soft(line, { textContent: wordsOf(name), id: "chosen-words" });
  if (row.section) soft(line, { textContent: row.section });
  if (hasHeads(name)) {
    soft(line, { textContent: "head" });
    const heads = Object.fromEntries(range(model.config.n_head).map(h => [h, String(h)]));
    press(segments(line, "Head", heads, head => change({ head: Number(head) })), state.head);
  }
  for (const [i, kind] of ["value", "gradient"].entries()) {
    $(`${kind}-title`).textContent = i ? `Gradient of ${lossWords()}` : "Value";
    $(`${kind}-equation`).textContent = i ? row.backward : row.forward;
    $(`${kind}-code`).textContent = row.code[i];
    $(`${kind}-where`).textContent = row.source[i];
  }
}

function drawValues() {
  about(state.name);
  if (pieces.name !== state.name || pieces.text !== state.text) pieces = { name: state.name, text: state.text };
  const withGradient = state.edits.length === 0 && T() > 1, { rows, columns } = pieces;
  gradient.box.hidden = !withGradient;
  $("no-gradient").textContent = withGradient ? "" : T() === 1 ? "A single token has no loss, and so no gradient." :
    "Gradients are those of the model without edits; take the edits back to see them.";
  const body = { text: state.text, edits: state.edits, of: state.of, names: [state.name], grad: withGradient, most: PIECE };
  if (rows) body.rows = rows;
  if (columns) body.columns = columns;
  fill($("value-and-gradient"), "arrays", body, reply => {
    for (const array of reply.arrays) drawArray(array, reply.tokens);
    drawRanges(reply.arrays[0]);
    if (/\.attn\.att$/.test(state.name)) {
      [attended] = reply.arrays;
      lookFrom(at());
    }
  });
}

function drawArray(array, tokens) {
  const picture = array.which === "value" ? value : gradient, shown = matrix(array, tokens, state.head);
  if (shown.rowAxis === "T") picture.cursor = [Math.max(0, array.rows.indexOf(state.at)), picture.cursor?.[1] ?? 0];
  const masked = /\.scores$/.test(array.name) && array.which === "value" ? "masked: −∞" : "";
  const facts = [`least ${digits(array.least)}`, `greatest ${digits(array.greatest)}`, `root mean square ${digits(array.rms)}`];
  picture.draw(shown, `${array.which} of ${array.name}`, { facts, gray: masked });
  if (array.which === "value") $("chosen-shape").textContent = shapeWords(array);
}

function shapeWords(array) {
  const axes = array.axes.split(" ").filter(axis => axis !== "B" && axis);
  if (!axes.length) return "a number";
  return `(${axes.map((axis, i) => axis === "1" ? axis : `${axis}=${array.shape[i]}`).join(", ")})`;
}

function drawRanges(array) {
  const box = empty($("ranges")), [rows, columns] = array.shape.length > 1 ? array.shape.slice(-2) : [1, array.shape[0] ?? 1];
  const choose = which => piece => { pieces[which] = piece; drawValues(); };
  rangeChoice(box, "rows", rows, array.rows, pieces.rows, array.row_axis === "V", choose("rows"));
  rangeChoice(box, "columns", columns, array.columns, pieces.columns, array.column_axis === "V", choose("columns"));
}

// Attention

function buildAttention(box) {
  const pair = make("div", box, { className: "pair" }), [left] = card(pair, "All heads");
  note(left, { textContent: "Row t of a square: how much token t looks at itself and at the tokens before it." });
  const heads = make("div", left, { id: "heads" });
  onArrows(heads, (right, down) => moveFocus(heads, right + down * model.config.n_head));
  note(left, { id: "habits" });
  const right = make("div", pair, { className: "card", id: "one-head" });
  make("h2", right, { id: "head-title" });
  make("p", right, { id: "head-habit" });
  note(right, { textContent: "Point at a row here, or at a token in the text: the text shows what it looks at." });
  attention = new Picture(right, "attention", {
    moved: row => lookFrom(attention.matrix.trueRow(row)), chosen: row => change({ at: attention.matrix.trueRow(row) }),
  });
}

const SMALL = 64;                   // rows and columns of a small map
const shownBlock = () => blockOf(state.name) ?? openBlock ?? 0;

function drawAttention() {
  const block = shownBlock(), common = { text: state.text, edits: state.edits, of: "all", grad: false };
  const weights = range(model.config.n_layer).map(i => `h.${i}.attn.att`);
  $("head-title").textContent = `Layer ${block}, head ${state.head}`;
  $("head-habit").textContent = "";
  fill($("heads"), "arrays", { ...common, names: weights, most: SMALL }, drawHeads);
  fill($("one-head"), "arrays", { ...common, names: [weights[block]], most: PIECE }, reply => {
    const [array] = reply.arrays, shown = matrix(array, reply.tokens, state.head);
    attended = array;
    attention.cursor = [Math.max(0, array.rows.indexOf(state.at)), strongest(shown, Math.max(0, array.rows.indexOf(state.at)))];
    attention.draw(shown, `attention of layer ${block}, head ${state.head}`);
    $("head-habit").textContent = habitWords(habit(shown));
    lookFrom(at());
  });
}

// Where a head looks whatever the text says: more than half of its attention, on average over the tokens from the eighth on,
// goes to one distance or to the first token.  -> {back, share}, {first, share} or null
function habit({ rows, columns, numbers, trueRow }) {
  const from = 8, n = rows - from, at = (t, key) => numbers[t * columns + key];
  if (n < from || rows !== columns || trueRow(rows - 1) !== rows - 1) return null;          // too short, or every n-th row
  const share = key => range(n).reduce((sum, i) => sum + at(from + i, key(from + i)), 0) / n;
  const found = [{ first: true, share: share(() => 0) }, ...range(from).map(back => ({ back, share: share(t => t - back) }))];
  const best = found.reduce((a, b) => a.share >= b.share ? a : b);
  return best.share > 0.5 ? best : null;
}

function habitWords(found) {
  if (!found) return "";
  const where = found.first ? "at the first token" : found.back ? `${found.back} back` : "at the token itself";
  return `mostly looks ${where}: ${percent(found.share)} of its attention here`;
}

function strongest({ numbers, columns }, row) {
  const weights = numbers.subarray(row * columns, (row + 1) * columns);
  return weights.indexOf(Math.max(...weights));
}

function drawHeads(reply) {
  const box = $("heads"), n = model.config.n_head, block = shownBlock();
  if (box.reply !== reply) makeHeads(box, reply, n);
  box.reply = reply;
  for (const head of box.querySelectorAll("button"))
    head.setAttribute("aria-pressed", Number(head.dataset.block) === block && Number(head.dataset.head) === state.head);
  stopOnce(box, box.querySelector("[aria-pressed=true]"));
}

function makeHeads(box, reply, n) {
  const side = clamp(Math.floor((box.clientWidth - 40) / n) - 6, 22, 76);
  empty(box).style.gridTemplateColumns = `auto repeat(${n}, max-content)`;
  make("span", box);
  const habits = [];
  for (const head of range(n)) make("span", box, { textContent: head });
  reply.arrays.forEach((array, block) => {
    make("span", box, { textContent: `h.${block}` });
    for (const head of range(n)) {
      const choose = () => change({ head, name: `h.${block}.attn.att` });
      const small = button(box, "", choose, { "data-block": block, "data-head": head });
      small.setAttribute("aria-label", `layer ${block}, head ${head}`);
      const shown = matrix(array, reply.tokens, head), { rows, columns, numbers } = shown, canvas = make("canvas", small);
      const words = habitWords(habit(shown));
      small.title = words;
      if (words) habits.push(`h.${block} head ${head} ${words}`);
      paint(canvas, rows, columns, numbers, 1);
      canvas.style.width = canvas.style.height = `${side}px`;
      canvas.style.imageRendering = side * devicePixelRatio >= columns ? "pixelated" : "auto";
    }
  });
  $("habits").textContent = habits.length ? `${habits.join("; ")}.` : "";
}

// Draw over the text what token t looks at, where a head's attention is shown; of a long text its row is asked for.
function lookFrom(t) {
  if (!attended) return;
  if (attended.columns.length === T()) return drawLook(attended, t);
  const body = { text: state.text, edits: state.edits, of: "all", grad: false, names: [attended.name] };
  fill($("text-color"), "arrays", { ...body, rows: [t, t + 1], most: WIDEST }, reply => drawLook(reply.arrays[0], t));
}

const WIDEST = 1024;                // columns, the most that the server sends

function drawLook(array, t) {
  const { numbers, columns } = matrix(array, passed.tokens, state.head), row = array.rows.indexOf(t);
  const weights = Array(T()).fill(NaN);
  array.columns.forEach((key, j) => { weights[key] = numbers[row * columns + j]; });
  colorText(weights, 1, `what ${placeOfToken(t)} looks at in layer ${blockOf(array.name)}, head ${state.head}`, { after: t });
}

// Logit lens

function buildLens(view) {
  const [lens] = card(view, "What the model would predict if it stopped early", { id: "lens-pane" });
  note(lens, { textContent: "A column for each position, a row for each point of the residual stream; the last row is the " +
    "model's own prediction. The bluer, the more probable. softmax(ln_f(x) Wᵀ)" });
  const table = make("div", lens, { className: "scroll", id: "lens-table", tabIndex: 0, role: "application" });
  table.setAttribute("aria-label", "Logit lens; the arrow keys move, Enter chooses");
  make("p", lens, { id: "lens-readout", className: "readout", "aria-live": "polite" });
  make("div", lens, { id: "lens-scale" });
  listenToLens();
}

let lens = { key: null };           // what the table is of, and the positions that it has

// Of a large vocabulary the predictions are asked for as they come into sight, so many positions at once.
const AT_ONCE_LENS = 8e9;           // multiplications

function drawLens() {
  const key = JSON.stringify([model.opened, state.text, state.edits]), box = $("lens-table");
  if (lens.key !== key) makeLens(key, box);
  for (const title of box.querySelectorAll("th"))
    title.classList.toggle("at", title.dataset.t === String(state.at) || title.dataset.point === state.name);
  const chosen = lens.points.includes(state.name) ? state.name : lens.points.at(-1);
  tellLens(box.querySelector(`td[data-point="${chosen}"][data-t="${state.at}"]`));
  scrollWithin(box, box.querySelector(".chosen"));
  fillLens();
}

function makeLens(key, box) {
  const { n_layer, n_embd, vocab_size } = model.config, points = [...range(n_layer).map(i => `h.${i}.in`), `h.${n_layer - 1}.out`];
  const most = Math.max(8, Math.floor(AT_ONCE_LENS / (points.length * n_embd * vocab_size)));
  lens = { key, points, most, missing: range(Math.ceil(T() / most)) };
  const table = make("table", empty(box), { id: "lens" }), head = make("tr", make("thead", table)), body = make("tbody", table);
  make("th", head, { textContent: "after" });
  passed.tokens.forEach(({ label }, t) => make("th", head, { textContent: brief(label, 9), title: `position ${t}`, "data-t": t }));
  for (const point of points) {
    const row = make("tr", body);
    make("th", row, { textContent: point, "data-point": point, title: wordsOf(point) });
    range(T()).forEach(t => make("td", row, { "data-point": point, "data-t": t }));
  }
  scale(empty($("lens-scale")), 1, { amount: true, unit: "probability", greatest: model.colors.under_text });
}

function fillLens() {
  if (state.view !== "inside" || state.pane !== "lens" || waiting.has($("lens-pane"))) return;
  const next = lens.missing.find(lensInSight);
  if (next === undefined) return;
  const positions = [next * lens.most, (next + 1) * lens.most];
  fill($("lens-pane"), "lens", { text: state.text, edits: state.edits, positions }, reply => {
    lens.missing = lens.missing.filter(piece => piece !== next);
    const rows = [...$("lens").querySelectorAll("tbody tr")];
    reply.best.forEach((row, i) => row.forEach((best, j) => lensCell(rows[i].children[1 + reply.first + j], best)));
    const chosen = $("lens").querySelector(".chosen");
    tellLens(chosen);
    if (Math.floor(chosen.dataset.t / lens.most) === next) scrollWithin($("lens-table"), chosen);   // columns are wider now
  }).then(drawn => drawn && fillLens());
}

function lensInSight(piece) {
  const box = $("lens-table").getBoundingClientRect(), titles = $("lens").tHead.rows[0].cells;
  const [first, last] = [1 + piece * lens.most, Math.min((piece + 1) * lens.most, T())].map(i => titles[i].getBoundingClientRect());
  return first.left < box.right && last.right > box.left;
}

function lensCell(cell, best) {
  cell.textContent = brief(best.label, 9);
  Object.assign(cell.dataset, { label: best.label, value: best.p });
  cell.style.background = color(tone(best.p, 1) ** 2, model.colors.under_text);
}

function listenToLens() {
  const box = $("lens-table"), choose = cell => change({ name: cell.dataset.point, at: Number(cell.dataset.t) });
  box.onpointerover = event => event.target.matches("td") && tellLens(event.target);
  box.onclick = event => event.target.matches("td") && choose(event.target);
  box.addEventListener("scroll", fillLens);
  onArrows(box, (right, down) => {
    const next = cellBeside(box.querySelector(".chosen"), right, down);
    tellLens(next);
    scrollWithin(box, next);
  }, () => choose(box.querySelector(".chosen")));
}

function tellLens(cell) {
  if (!cell) return;
  $("lens-table").querySelector(".chosen")?.classList.remove("chosen");
  cell.classList.add("chosen");
  const { point, t, label: best, value } = cell.dataset, readout = empty($("lens-readout"));
  if (value === undefined) return;
  const words = `Read at ${point}, ${placeOfToken(t)} would be followed by ${quoted(best)} with probability `;
  make("span", readout, { textContent: words });
  make("output", readout, { textContent: digits(Number(value), 6) });
  Object.assign(readout.dataset, { point, t, value });
}

// Backward --------------------------------------------------------------------------------------------------------------

let backward = null;            // the reply of api/backward that is shown

function buildBackward(view) {
  const bar = make("div", view, { className: "toolbar" });
  ofChoice(make("div", bar, { className: "line" }), "");
  const all = make("div", view, { id: "backward-body", className: "stack" }), step = make("div", all, { className: "card" });
  const stepper = make("div", step, { className: "stepper", role: "group", "aria-label": "Steps of the backward pass" });
  const places = { first: () => 0, previous: () => stepIndex() - 1, next: () => stepIndex() + 1, last: () => Infinity };
  const texts = { first: "To the loss", previous: "‹ Previous", next: "Next ›", last: "To the embedding" };
  for (const id in places) button(stepper, texts[id], () => goTo(places[id]()), { id });
  make("span", stepper, { id: "step-count", className: "soft" });
  onArrows(stepper, (right, down) => goTo(stepIndex() + right + down));
  make("div", step, { id: "step-equation", "aria-live": "polite" });
  make("div", step, { id: "ways-box" });
  const pair = make("div", all, { className: "pair" }), [left] = card(pair, "How large the gradient is, from the loss down");
  make("p", left, { className: "soft", id: "steps-scale", title: LENGTH });
  make("ol", left, { id: "steps", role: "listbox", tabIndex: 0, "aria-label": "Steps; the arrow keys move" });
  onArrows($("steps"), (right, down) => goTo(stepIndex() + right + down));
  $("steps").onclick = event => event.target.closest("li") && change({ name: event.target.closest("li").dataset.name });
  const [right] = card(pair, "Which input tokens the loss depends on");
  make("p", right, { id: "inputs-words", className: "soft" });
  make("div", right, { id: "inputs" });
  make("div", right, { id: "inputs-ways" });
}

// The norms at each token, which come as arrays, beside what they are of.
function withNorms(reply) {
  const of = new Map(reply.arrays.map(({ name, numbers, shown: [, n] }) => [name, row => numbers.subarray(row * n, (row + 1) * n)]));
  reply.inputs ??= [...of.get("inputs")(0)];
  for (const step of reply.steps) step.parts.forEach((part, i) => { part.per_token = of.get(step.name)(i); });
  return reply;
}

const stepIndex = () => backward ? Math.max(0, backward.steps.findIndex(step => step.name === state.name)) : 0;
const goTo = i => backward && change({ name: backward.steps[clamp(i, 0, backward.steps.length - 1)].name });

function drawBackward() {
  drawOf("");
  $("backward-body").hidden = T() === 1;
  if (T() === 1) return tellError($("view-backward"), "A single token has no loss, and so no gradient: type a longer text.");
  if (tooLong($("view-backward"))) return;
  fill($("backward-body"), "backward", { text: state.text, of: state.of }, reply => {
    const known = backward === reply;
    backward = known ? reply : withNorms(reply);
    if (!known || !$("steps").children.length) makeSteps();
    drawStep();
    drawInputs();
    drawNorms(new Map(reply.steps.map(step => [step.name, step.norm])));
    colorText(reply.inputs, Math.max(...reply.inputs), `how much ${lossWords()} depends on each token: ‖d wte.out‖`);
  });
}

function makeSteps() {
  const list = empty($("steps")), norms = backward.steps.map(step => step.norm), share = byLogarithm(norms);
  const [least, most] = [Math.min(...norms.filter(x => x > 0)), Math.max(...norms)].map(x => digits(x, 3));
  $("steps-scale").textContent = `‖gradient‖ at each point, on a logarithmic scale from ${least} to ${most}`;
  backward.steps.forEach(({ name, norm }, i) => {
    const line = make("li", list, { role: "option", id: `step-${i}`, "data-name": name, "data-value": norm });
    line.title = [wordsOf(name), names.get(name).backward].filter(text => text).join(": ");
    make("span", line, { className: "count", textContent: i });
    make("span", line, { className: "mono", textContent: name });
    bar(line, share(norm));
    make("span", line, { className: "number right", textContent: digits(norm, 3) });
  });
}

function drawStep() {
  const i = stepIndex(), step = backward.steps[i], row = names.get(step.name), chosen = step.name === state.name;
  for (const line of $("steps").children) line.setAttribute("aria-selected", chosen && line.dataset.name === step.name);
  $("steps").setAttribute("aria-activedescendant", `step-${i}`);
  scrollWithin($("steps"), $(`step-${i}`));
  $("step-count").textContent = chosen ? `step ${i} of ${backward.steps.length - 1}` :
    `${state.name}, the chosen name, is a parameter; the steps begin at the loss`;
  $("first").disabled = $("previous").disabled = i === 0;
  $("last").disabled = $("next").disabled = i === backward.steps.length - 1;
  const box = empty($("step-equation"));
  const line = make("div", box, { className: "line" });
  make("b", line, { className: "mono", textContent: step.name });
  soft(line, { textContent: `‖gradient‖ ${digits(step.norm)}`, title: LENGTH });
  soft(line, { textContent: wordsOf(step.name) });
  make("p", box, { className: "equation", textContent: row.backward });
  make("code", box, { className: "code", textContent: row.code[1] });
  make("p", box, { className: "where", textContent: row.source[1] });
  drawWays(empty($("ways-box")), step, "ways");
}

// scrollIntoView() would scroll the page as well.
function scrollWithin(box, element) {
  const outer = box.getBoundingClientRect(), inner = element.getBoundingClientRect();
  if (inner.top < outer.top || inner.bottom > outer.bottom) box.scrollTop += inner.top - outer.top - outer.height / 2;
  if (inner.left < outer.left || inner.right > outer.right) box.scrollLeft += inner.left - outer.left - outer.width / 2;
}

// The chosen token, or where the loss does not depend on it, the one on which it depends most
function reachedToken() {
  const { inputs } = backward;
  return inputs[state.at] ? state.at : inputs.indexOf(Math.max(...inputs));
}

// The terms whose sum is a gradient, each by the way from which it came.
function drawWays(box, step, id, place = step.name) {
  if (!step.parts.length) return;
  make("h3", box, { textContent: `The ways by which the loss reaches ${place}` });
  const table = make("table", box, { id, className: "wide ways" }), head = make("tr", make("thead", table)), at = reachedToken();
  for (const text of ["way", "all positions", `at ${placeOfToken(at)}`]) make("th", head, { textContent: text });
  const body = make("tbody", table), most = Math.max(...step.parts.map(part => part.norm));
  const here = part => part.per_token[at], mostHere = Math.max(...step.parts.map(here));
  for (const part of step.parts) {
    const row = make("tr", body, { "data-through": part.through, "data-value": part.norm, "data-at": here(part) });
    const words = make("td", row);
    make("div", words, { textContent: wayWords(step.name, part.through) });
    make("code", words, { className: "soft", textContent: part.through });
    for (const [norm, full] of [[part.norm, most], [here(part), mostHere]]) {
      const cell = make("td", row);
      make("div", cell, { className: "number", textContent: digits(norm, 3) });
      bar(cell, norm / (full || 1));
    }
  }
  note(box, { textContent: "Bars are linear. The terms add up as vectors, so that their norms need not add up to the whole." });
  const norm = step.parts.map(part => /^(.*ln_1)\.xhat$/.exec(part.through)).find(found => found);
  if (!norm || !model.config.pre_norm) return;           // with norms behind the sums, q, k and v are in the table
  const line = note(box, { textContent: "What comes through ln_1 has come through the queries, keys and values: " });
  button(line, `the ways to ${norm[1]}.out`, () => change({ name: `${norm[1]}.out` }));
}

function wayWords(name, through) {
  const last = through.split(".").at(-1), norm = /(ln_\w+)\.(xhat|mean|rstd)$/.exec(through), block = blockOf(through);
  const terms = { xhat: ", its mean and scale held fixed", mean: "'s mean", rstd: "'s scale 1/σ" };
  if (norm) return `through ${norm[1]}${terms[norm[2]]}`;
  if (/\.attn\.[qkv]$/.test(through)) return `through ${last}, the ${{ q: "queries", k: "keys", v: "values" }[last]}`;
  if (last === "pre") return "through the MLP";
  if (last === "mid") return `straight on, past the attention of block ${block}`;
  if (last === "out" && block !== null) return `straight on, past the MLP of block ${block}`;
  return { "wte.out": "the lookup of the tokens", logits: "the output layer" }[through] ?? `through ${through}`;
}

function drawInputs() {
  const box = empty($("inputs")), most = Math.max(...backward.inputs);
  const order = range(T()).sort((a, b) => backward.inputs[b] - backward.inputs[a]), top = order[0];
  $("inputs-words").textContent = `By ‖d wte.out‖, the length of the gradient at each token's embedding, ${lossWords()} depends ` +
    `most on ${placeOfToken(top)}.`;
  const table = make("table", box, { className: "wide" }), body = make("tbody", table);
  for (const t of order.slice(0, 8)) {
    const row = make("tr", body, { "data-t": t, "data-value": backward.inputs[t] });
    const choose = button(make("td", row), `${quoted(brief(label(t)))} (${t})`, () => change({ at: t }));
    choose.setAttribute("aria-pressed", t === state.at);
    bar(make("td", row, { className: "half" }), backward.inputs[t] / (most || 1));
    make("td", row, { className: "number right", textContent: digits(backward.inputs[t], 3) });
  }
  const input = backward.steps.find(step => step.name === "h.0.in"), ways = empty($("inputs-ways"));
  if (state.name !== input.name) drawWays(ways, input, "input-ways", "the inputs");
}

// Change it -------------------------------------------------------------------------------------------------------------

let everywhere = true;              // whether new edits hold at all positions
let measured = new Map();           // what switching off each place alone does to the loss of a text: {place: change}
let measuredText = null;
let measuring = null;               // the controller of the measurement that runs

const placeOf = ({ name, head }) => head === null ? name : `${name} ${head}`;

function buildChange(view) {
  buildGridCard(view);
  const [edits, line] = card(view, "Edits, and what each does to the loss", { id: "edits-card" });
  const buttons = make("div", line, { className: "line" });
  const editChosen = () => addEdit({ name: state.name, head: hasHeads(state.name) ? state.head : null });
  button(buttons, "", editChosen, { id: "edit-chosen" });
  button(buttons, "Take all back", () => change({ edits: [] }), { id: "no-edits" });
  make("div", edits, { className: "scroll", id: "edits-box" });
  const pair = make("div", view, { className: "pair" });
  for (const [id, title] of [["before", "Predicted next, without edits"], ["after", "Predicted next, with the edits"]]) {
    const [box] = card(pair, title, { id: `${id}-card` });
    note(box, { id: `${id}-words` });
    make("div", box, { id: `${id}-box` });
  }
  const [code, head] = card(view, "The same in Python");
  button(head, "Copy", () => copy($("code").textContent, $("copy-code")), { id: "copy-code" });
  make("pre", code, { id: "code", className: "code", tabIndex: 0 });
}

function buildGridCard(view) {
  const [box, line] = card(view, "Click to switch off"), tools = make("div", line, { className: "line" });
  const where = segments(tools, "Where new edits hold", { all: "at all positions", at: "at the chosen position" }, key => {
    everywhere = key === "all";
    drawChange();
  });
  where.id = "where";
  button(tools, "Measure each alone", measure, { id: "measure" });
  note(box, { id: "grid-words" });
  make("div", box, { id: "grid-box", className: "scroll" });
  make("p", box, { id: "grid-readout", className: "readout", "aria-live": "polite" });
  make("div", box, { id: "grid-scale" });
}

// The places of one block: its heads, its MLP, and the points of the stream.
function places(block) {
  const place = (point, title, head = null) => ({ name: `h.${block}.${point}`, title, head });
  const heads = range(model.config.n_head).map(head => place("attn.o", `head ${head}`, head));
  return [place("in", "in"), ...heads, place("mid", "mid"), place("mlp.out", "MLP"), place("out", "out")];
}

function makeGrid() {
  const table = make("table", empty($("grid-box")), { id: "grid" }), head = make("tr", make("thead", table));
  make("th", head);
  for (const { title } of places(0)) make("th", head, { textContent: title, scope: "col" });
  const body = make("tbody", table);
  for (const block of range(model.config.n_layer)) {
    const row = make("tr", body);
    make("th", row, { textContent: `h.${block}`, scope: "row" });
    for (const place of places(block)) {
      const cell = button(make("td", row), "", () => toggle(place), {
        "data-name": place.name, "data-head": place.head ?? "", "aria-label": `layer ${block}, ${place.title}`,
      });
      cell.onpointerenter = cell.onfocus = () => tellPlace(place, block);
    }
  }
  onArrows(table, (right, down) => cellBeside(document.activeElement.closest("td"), right, down).firstChild.focus());
}

function tellPlace(place, block) {
  const change = measured.get(placeOf(place));
  const effect = change !== undefined && `switched off alone, the loss changes by ${signed(change)} nats per token`;
  $("grid-readout").textContent = `Layer ${block}, ${place.title} (${place.name}): ${effect || "click to switch it off"}.`;
}

const isAt = (edit, place) => edit.name === place.name && edit.head === place.head;

function toggle(place) {
  const others = state.edits.filter(edit => !isAt(edit, place));
  if (others.length < state.edits.length) change({ edits: others, ...chosenBy(place) });
  else addEdit(place);
}

const chosenBy = ({ name, head }) => ({ name, head: head ?? state.head });

function addEdit({ name, head }) {
  const position = everywhere ? null : state.at;
  change({ edits: [...state.edits, { name, head, position, how: "off", factor: 0.5, from: "" }], ...chosenBy({ name, head }) });
}

function setEdit(i, changes) {
  change({ edits: state.edits.map((edit, j) => i === j ? { ...edit, ...changes } : edit) });
}

// What the server is sent of an edit: what its kind needs.
function sent({ name, head, position, how, factor, from }) {
  return { name, head, position, how, ...(how === "scale" ? { factor } : how === "patch" ? { from } : {}) };
}

function drawChange() {
  press($("where"), everywhere ? "all" : "at");
  if (measuredText !== state.text) {
    stopMeasuring();
    measured = new Map();
  }
  const editable = names.get(state.name)?.editable;
  const chosen = hasHeads(state.name) ? `${state.name}, head ${state.head}` : state.name;
  Object.assign($("edit-chosen"), { textContent: `Edit ${chosen}`, disabled: !editable });
  $("no-edits").disabled = !state.edits.length;
  drawGrid();
  makeEdits();
  const text = state.text, box = $("edits-card");
  if (state.edits.length) fill(box, "edits", { text, edits: state.edits.map(sent) }, drawEffects);
  else {
    abandon([box]);
    tellError(box, null);
    $("code").textContent = "No edits yet: click a square above.";
  }
  fill($("before-card"), "pass", { text, edits: [] }, reply => drawPredictions("before", reply));
  fill($("after-card"), "pass", { text, edits: state.edits.map(sent) }, reply => drawPredictions("after", reply));
}

// An effect on the loss, short: +1.22, −0.003, and 0 for what is none at all
function effect(x) {
  const size = Math.abs(x);
  return size === 0 ? "0" : `${x > 0 ? "+" : "−"}${size < 5e-4 ? "0.000…" : size.toFixed(size < 0.1 ? 3 : 2)}`;
}

function drawGrid() {
  const full = Math.max(0.1, ...[...measured.values()].map(Math.abs));
  for (const cell of $("grid").querySelectorAll("button")) {
    const place = { name: cell.dataset.name, head: cell.dataset.head === "" ? null : Number(cell.dataset.head) };
    const edit = state.edits.find(edit => isAt(edit, place)), change = measured.get(placeOf(place));
    cell.setAttribute("aria-pressed", Boolean(edit));
    cell.classList.toggle("chosen", place.name === state.name && (place.head === null || place.head === state.head));
    cell.textContent = change !== undefined ? effect(change) : edit ? edit.how : "·";
    cell.dataset.value = change ?? "";
    cell.style.backgroundColor = change === undefined ? "" : color(tone(change, full), model.colors.under_text);
  }
  stopOnce($("grid"), $("grid").querySelector(".chosen"));
  $("grid-words").textContent = measured.size ?
    "Numbers: what switching off each alone does to the mean loss. Blue: it rises without it; orange: it falls." :
    "Heads are switched off at their output attn.o, before c_proj. “Measure each alone” tries every square.";
  const box = empty($("grid-scale"));
  if (measured.size) scale(box, full, { unit: "nats", greatest: model.colors.under_text });
}

const AT_ONCE = 8;                  // places of one request, so that the first numbers come early

// A second click stops it.
async function measure() {
  if (measuring) return stopMeasuring();
  const abort = measuring = new AbortController(), position = everywhere ? null : state.at;
  [measured, measuredText] = [new Map(), state.text];
  $("measure").textContent = "Stop";
  try {
    const all = range(model.config.n_layer).flatMap(places);
    for (let i = 0; i < all.length; i += AT_ONCE) {
      const some = all.slice(i, i + AT_ONCE), edits = some.map(({ name, head }) => ({ name, head, position, how: "off" }));
      const reply = await ask("edits", { text: state.text, edits }, abort.signal);
      some.forEach((place, i) => measured.set(placeOf(place), reply.rows[i].change));
      if (state.view === "change") drawGrid();
    }
  } catch (error) {
    if (error.name !== "AbortError") tellError($("view-change"), error.message);
  } finally {
    if (measuring === abort) stopMeasuring();
  }
}

function stopMeasuring() {
  measuring?.abort();
  measuring = null;
  $("measure").textContent = "Measure each alone";
}

// The table of edits is made anew when other controls are needed; while a slider moves, it stays.
function makeEdits() {
  const box = $("edits-box"), form = JSON.stringify(state.edits.map(({ name, head, how }) => [name, head, how]));
  if (box.form !== form) {
    box.form = form;
    empty(box);
    if (state.edits.length) makeEditTable(box);
    else note(box, { textContent: "None: the model is as it was trained." });
  }
  state.edits.forEach((edit, i) => {
    const row = box.querySelector(`tr[data-edit="${i}"]`), where = row.querySelector(".where-edit");
    empty(where).append(new Option("all positions", ""));
    for (const t of new Set([state.at, edit.position ?? state.at]))
      where.append(new Option(`${quoted(brief(label(t)))} (${t})`, t));
    where.value = edit.position ?? "";
    for (const field of row.querySelectorAll("[data-field]"))
      if (field !== document.activeElement) field.value = edit[field.dataset.field];
  });
}

function makeEditTable(box) {
  const table = make("table", box, { className: "wide", id: "edits" }), head = make("tr", make("thead", table));
  for (const text of ["what", "where", "how", "", "loss alone", "change", ""]) make("th", head, { textContent: text });
  const body = make("tbody", table);
  state.edits.forEach((edit, i) => makeEditRow(make("tr", body, { "data-edit": i }), edit, i));
  const all = make("tr", make("tfoot", table), { id: "all-edits" });
  for (const text of ["all together", "", "", "", "", "", ""]) make("td", all, { textContent: text });
}

function makeEditRow(row, edit, i) {
  make("td", row, { className: "mono", textContent: edit.head === null ? edit.name : `${edit.name}, head ${edit.head}` });
  const where = make("select", make("td", row), { className: "where-edit", "aria-label": "position" });
  where.onchange = () => setEdit(i, { position: where.value === "" ? null : Number(where.value) });
  const how = make("select", make("td", row), { "aria-label": "how" });
  how.append(new Option("switch off", "off"), new Option("scale", "scale"), new Option("patch", "patch"));
  how.value = edit.how;
  how.onchange = () => setEdit(i, { how: how.value, from: how.value === "patch" ? state.text : "" });
  makeEditValue(make("div", make("td", row), { className: "value" }), edit, i);
  make("td", row, { className: "number alone" });
  make("td", row, { className: "number change" });
  const takeBack = () => change({ edits: state.edits.filter((_, j) => j !== i) });
  button(make("td", row), "✕", takeBack, { title: "take back", "aria-label": "take this edit back" });
}

function makeEditValue(box, edit, i) {
  const field = (type, name, label, more) => make("input", box, { type, "data-field": name, "aria-label": label, ...more });
  if (edit.how === "scale") {
    const oninput = event => event.target.value !== "" && setEdit(i, { factor: clamp(Number(event.target.value), 0, 100) });
    field("range", "factor", "factor", { min: 0, max: 2, step: 0.05, oninput });
    field("number", "factor", "factor, as a number", { min: 0, max: 100, step: 0.05, oninput });
  } else if (edit.how === "patch") {
    const from = field("text", "from", "second text, from which the value is taken", { spellcheck: false });
    from.title = "A second text with as many tokens: the value is taken from it";
    from.oninput = () => {
      clearTimeout(typing);
      typing = setTimeout(() => setEdit(i, { from: from.value }), PAUSE);
    };
  }
}

function drawEffects(reply) {
  reply.rows.forEach((effect, i) => tellEffect($("edits").querySelector(`tr[data-edit="${i}"]`), effect));
  tellEffect($("all-edits"), reply.all);
  $("code").textContent = reply.code;
  const changes = reply.all.nll.map((x, t) => x === null ? NaN : x - reply.before.nll[t]);
  const full = Math.max(0.1, ...changes.filter(Number.isFinite).map(Math.abs));
  const words = "what the edits do to each token's surprise; blue rises, orange falls";
  colorText(changes, full, words, { amount: false, unit: "nats" });
}

function tellEffect(row, { loss, change }) {
  const [alone, difference] = row.querySelectorAll("td:nth-child(5), td:nth-child(6)");
  alone.textContent = digits(loss, 5);
  difference.textContent = signed(change);
  row.dataset.value = loss;
  row.dataset.change = change;
}

function drawPredictions(id, reply) {
  const nll = reply.nll[state.at + 1] ?? null, table = make("table", empty($(`${id}-box`)), { className: "predictions", id });
  $(`${id}-words`).textContent = `after ${placeOfToken(state.at)}` +
    (nll === null ? "" : ` · surprise of ${quoted(label(state.at + 1))}, which follows: ${digits(nll, 3)} nats`);
  for (const { id, label, p } of reply.predictions[state.at]) {
    const row = make("tr", table, { "data-id": id, "data-value": p });
    make("td", row, { textContent: brief(label) });
    bar(make("td", row), p, { title: `p ${p}` });
    make("td", row, { className: "number right", textContent: percent(p) });
  }
}

// Generate --------------------------------------------------------------------------------------------------------------

// The tokens after the prompt: those that were chosen by hand or kept (state.forced), and state.drawn more that the seed draws.
// steps[n] is the reply for the n-th of these; the one that is shown stands before its token is taken.
const noRun = key => ({ key, steps: [], text: "", ends: [] });
let run = noRun(null);
let playing = false, speed = 8;

function buildGenerate(view) {
  const pair = make("div", view, { className: "pair" }), left = make("div", pair, { className: "card", id: "output-card" });
  buildControls(make("div", left, { className: "line" }));
  make("div", left, { id: "output", tabIndex: 0, role: "log", "aria-label": "Prompt and continuation" });
  const below = make("div", left, { className: "line spread" });
  soft(below, { id: "output-facts" });
  const use = button(below, "Take as the text", () => change({ text: $("output").dataset.text }), { id: "use-output" });
  use.title = "so that the other views show it";
  make("code", left, { id: "generate-code", className: "code" });
  const [right] = card(pair, "How the next token is drawn"), options = make("div", right, { id: "options" });
  for (const key in OPTIONS) buildOption(options, key, OPTIONS[key]);
  const [bars] = card(view, "The next token, before and after each step", { id: "bars-card" });
  note(bars, { textContent: "The highlighted token is the one that the seed draws. Click another to take it instead." });
  make("div", bars, { className: "scroll", id: "bars-box" });
}

function buildControls(box) {
  button(box, "▶ Play", () => playing ? pause() : play(), { id: "play", className: "main" });
  button(box, "Step", forward, { id: "step", title: "take the next token" });
  button(box, "Back", back, { id: "back", title: "take the last token back" });
  button(box, "Restart", restart, { id: "restart", title: "the prompt alone" });
  const pace = make("label", box, { className: "line soft", textContent: "tokens per second " });
  const slider = make("input", pace, { id: "speed", type: "range", min: 1, max: 40, value: speed });
  const number = make("span", pace, { className: "number", textContent: speed });
  slider.oninput = () => {
    speed = Number(slider.value);
    number.textContent = speed;
  };
}

function buildOption(box, key, { title, least, most, step, note }) {
  const oninput = event => event.target.value !== "" && setOption(key, optionOf(key, event.target.value));
  make("label", box, { htmlFor: `option-${key}`, textContent: title, title: note });
  if (most === undefined) make("span", box, { className: "off", textContent: note });
  else make("input", box, { type: "range", min: least, max: most, step, oninput, "data-option": key, "aria-label": title });
  make("input", box, { type: "number", min: 0, step: step ?? 1, oninput, "data-option": key, id: `option-${key}` });
}

// Tokens that are there stay when an option changes; another seed begins again after the prompt.
function setOption(key, number) {
  const options = { ...state.options, [key]: number };
  if (key === "seed") change({ options, forced: [], drawn: 0 });
  else change({ options, forced: taken(), drawn: 0 });
}

const taken = () => [...state.forced, ...run.steps.slice(0, state.drawn).map(step => step.token.id)];

function sentOptions() {
  const { temperature, seed } = state.options, options = { temperature };
  for (const key of ["top_k", "top_p", "min_p", "repetition_penalty"])
    if (state.options[key] !== OPTIONS[key].neutral) options[key] = state.options[key];
  return { ...options, seed };
}

// Ask for the steps up to the shown one; after a link was opened all of them are asked for, one after the other.
function drawGenerate() {
  for (const field of document.querySelectorAll("[data-option]"))
    if (field !== document.activeElement) field.value = state.options[field.dataset.option];
  const key = JSON.stringify([state.text, state.forced, state.options]);
  if (run.key !== key) run = noRun(key);
  const n = Math.min(run.steps.length, state.drawn), { text, forced } = state;
  $("back").disabled = state.drawn + state.forced.length === 0;
  if (run.steps[state.drawn]?.candidates) {
    abandon([$("bars-card")]);
    drawNext();
    return Promise.resolve(true);
  }
  const mine = run;
  return fill($("bars-card"), "next", { text, forced, drawn: n, options: sentOptions() }, reply => {
    if (run === mine) keepStep(n, reply);
    drawNext();
  }).then(drawn => drawn && n < state.drawn && run === mine ? drawGenerate() : drawn);
}

const WITH_BARS = 256;              // steps whose candidates are kept; of older ones they are asked for again

// Steps come in order, but for candidates that come again.  run.text is all pieces so far, run.ends[n] its length before token n.
function keepStep(n, reply) {
  if (!run.ends.length) [run.text, run.ends, run.begun] = [reply.before.text, [reply.before.text.length], reply.before.open];
  if (n === run.ends.length - 1) {
    run.text += reply.piece.text;
    run.ends.push(run.text.length);
  }
  run.steps[n] = reply;
  const old = run.steps[n - WITH_BARS];
  if (old?.candidates) run.steps[n - WITH_BARS] = { token: old.token, piece: old.piece, ended: old.ended };
}

// What follows the prompt, before the token of run.steps[n]
const outputBefore = n => run.text.slice(0, run.ends[n]) + (n ? run.steps[n - 1].piece.open : run.begun);

function drawNext() {
  const n = Math.min(run.steps.length - 1, state.drawn), next = run.steps[n], box = empty($("output"));
  const output = outputBefore(n), taken = state.forced.length + n, last = n > 0 ? run.ends[n - 1] : output.length;
  make("span", box, { className: "prompt", textContent: state.text + (hasWords() ? "" : " ") });
  make("span", box, { textContent: output.slice(0, last) });
  make("span", box, { className: "last", textContent: output.slice(last) });
  box.dataset.text = state.text + (hasWords() ? "" : " ") + output;
  box.scrollTop = box.scrollHeight;
  $("output-facts").textContent = `${taken} token${taken === 1 ? "" : "s"} after the prompt` +
    (next.ended ? "; the next one ends the text" : "");
  $("use-output").disabled = taken === 0;
  $("generate-code").textContent = pythonOfRun(n);
  drawBars(next);
}

// A model without a tokenizer reads ids with spaces between, and its labels are #17.
const hasWords = () => !passed?.tokens.every(({ id, label }) => label === `#${id}`);

function pythonOfRun(n) {
  const options = Object.entries(sentOptions()).map(([key, x]) => `, ${key}=${x}`).join("") +
    (passed && T() + state.forced.length + n > model.config.n_positions ? ", sliding_window=True" : "");
  const prompt = hasWords() ? JSON.stringify(state.text) : `[${state.text.split(/\s+/).join(", ")}]`;
  if (!state.forced.length) return `model.generate(${prompt}, max_new_tokens=${Math.max(n, 1)}${options})`;
  const start = hasWords() ? `*model.tokenizer.encode(${prompt})` : `*${prompt}`;
  return `model.generate([${start}, ${state.forced.join(", ")}], max_new_tokens=${Math.max(n, 1)}${options})`;
}

function drawBars(next) {
  const table = make("table", empty($("bars-box")), { id: "bars" });
  table.style.minWidth = `${70 + 92 * next.stages.length}px`;
  const head = make("tr", make("thead", table)), V = model.config.vocab_size;
  make("th", head, { textContent: "token", scope: "col" });
  let left = V;
  for (const stage of next.stages) {
    const possible = next.possible[stage], cell = make("th", head, { scope: "col" });
    Object.assign(cell.dataset, { stage, possible });
    make("span", cell, { textContent: stageWords(stage) });
    make("small", cell, { textContent: possible < left ? `${count(left - possible)} ruled out, ${count(possible)} left` :
      `${count(possible)} of ${count(V)}` });
    left = possible;
  }
  const body = make("tbody", table), most = Math.max(...next.candidates.flatMap(candidate => candidate.p));
  for (const candidate of next.candidates) barsRow(body, candidate, next, most);
}

const stageWords = stage => Object.hasOwn(OPTIONS, stage) ? `${OPTIONS[stage].title} ${state.options[stage]}` :
  stage === "model" ? "the model" : stage;

function barsRow(body, { id, label, p }, next, most) {
  const drawn = id === next.token.id, row = make("tr", body, { "data-id": id, className: drawn ? "drawn" : "" });
  const choose = button(make("td", row), brief(label), () => take(id), { "aria-label": `take ${label}` });
  choose.title = drawn ? "the one that the seed draws" : `take ${quoted(label)} instead`;
  p.forEach((share, i) => {
    const out = share === 0 && i > 0, cell = make("td", row, { className: out ? "out" : "" });
    const words = make("div", cell, { className: "p", "data-value": share });
    make("span", words, { textContent: out ? "ruled out" : percent(share) });
    bar(cell, share / most, { title: `p ${share}` });
  });
}

async function forward() {
  await shown;
  if (run.steps[state.drawn]?.ended) return pause();
  if (run.steps[state.drawn]) change({ drawn: state.drawn + 1 });
  await shown;
}

function back() {
  pause();
  if (state.drawn) change({ drawn: state.drawn - 1 });
  else if (state.forced.length) change({ forced: state.forced.slice(0, -1) });
}

function restart() {
  pause();
  change({ forced: [], drawn: 0 });
}

function take(id) {
  pause();
  if (run.steps[state.drawn]?.token.id === id) forward();
  else change({ forced: [...taken(), id], drawn: 0 });
}

async function play() {
  playing = true;
  drawPlay();
  while (playing && state.view === "generate") {
    const begun = performance.now(), count = state.drawn;
    await forward();
    if (state.drawn === count || !run.steps[state.drawn]) break;        // an error, or the end
    await new Promise(done => setTimeout(done, Math.max(0, 1000 / speed - (performance.now() - begun))));
  }
  pause();
}

function pause() {
  playing = false;
  drawPlay();
}

function drawPlay() {
  $("play").textContent = playing ? "❚❚ Pause" : "▶ Play";
}

// Training --------------------------------------------------------------------------------------------------------------

const EVERY = 2000;                 // ms between two looks at the run's folder
let poll;

function buildTraining(view) {
  const top = make("div", view, { className: "card line spread", id: "training-card" });
  make("p", top, { id: "training-state", "aria-live": "polite" });
  button(top, "", () => openModel("run"), { id: "open-best", hidden: true });
  make("div", view, { id: "plots" });
  const [samples] = card(view, "Samples, the latest first", { hidden: true, id: "samples-card" });
  make("div", samples, { id: "samples" });
}

function drawTraining() {
  clearTimeout(poll);
  if (!model.run) {
    $("training-state").textContent = "No run to watch. Start the lab with the folder of one, which trains or has ended: " +
      "python -m minigpt lab --run FOLDER";
    return;
  }
  if (document.hidden) return;                          // it goes on when one looks again
  replies.delete(JSON.stringify(["training", {}]));
  const begun = performance.now();
  fill($("training-card"), "training", {}, reply => {
    drawRun(reply);
    const goesOn = ["running", "waiting"].includes(reply.state), rest = 9 * (performance.now() - begun);   // of a long run
    if (goesOn) poll = setTimeout(() => state.view === "training" && drawTraining(), Math.max(EVERY, rest));
  });
}

function drawRun(run) {
  const column = name => run.rows.map(row => row[run.columns.indexOf(name)]), steps = column("step"), last = steps.at(-1) ?? 0;
  const facts = [
    `${run.run}: ${run.state === "waiting" ? "waiting for its first step" : run.state}`,
    `step ${count(last)}${run.steps ? ` of ${count(run.steps)}` : ""}`,
    run.left !== null && `${duration(run.left)} left`,
    run.best && `best validation loss ${digits(run.best.val_loss)} at step ${count(run.best.step)}`,
  ];
  $("training-state").textContent = facts.filter(fact => fact).join(" · ");
  const openText = model.opened === "run" ? "Open the best model anew" : "Open the best model";
  Object.assign($("open-best"), { hidden: !run.ready, textContent: openText });
  for (const [id, title] of run.rows.length ? Object.entries(PLOTS) : [])
    if (!document.querySelector(`.plot[data-series="${id}"]`)) makePlot(id, title);
  if (run.rows.length) {
    const losses = { training: "train_loss", smoothed: "smooth", validation: "val_loss" };
    plot("loss", steps, Object.entries(losses).map(([name, of]) => [name, column(of), LOSS_LINES[name]]));
    plot("learning_rate", steps, [["learning rate", column("learning_rate"), "blue"]], 0);
    plot("gradient_norm", steps, [["gradient norm", column("gradient_norm"), "blue"]], 0);
    plot("tokens_per_second", steps, [["tokens per second", column("tokens_per_second"), "blue"]], 0);
  }
  $("samples-card").hidden = !run.samples.length;
  const box = empty($("samples"));
  for (const { step, text } of [...run.samples].reverse()) {
    make("small", box, { textContent: `step ${count(step)}` });
    make("pre", box, { textContent: text });
  }
}

const PLOTS = {
  loss: "Loss, nats per token", learning_rate: "Learning rate", gradient_norm: "Gradient norm",
  tokens_per_second: "Tokens per second",
};
const LOSS_LINES = { training: "faint", smoothed: "blue", validation: "orange" };
const SVG = "http://www.w3.org/2000/svg";

function svg(tag, parent, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return parent.appendChild(element);
}

// Lines over steps with axes; the pointer or the arrow keys tell the numbers.
function plot(id, xs, series, least = null) {
  const box = document.querySelector(`.plot[data-series="${id}"]`), paper = empty(box.paper);
  const width = Math.max(paper.clientWidth, 200);
  const numbers = series.flatMap(([, ys]) => ys).filter(Number.isFinite), [from, to] = ends(numbers, least);
  const frame = { left: 46, right: width - 8, top: 6, bottom: PLOT_HEIGHT - 22 };
  const x = step => frame.left + (step - xs[0]) / (xs.at(-1) - xs[0] || 1) * (frame.right - frame.left);
  const y = number => frame.bottom - (number - from) / (to - from || 1) * (frame.bottom - frame.top);
  paper.setAttribute("viewBox", `0 0 ${width} ${PLOT_HEIGHT}`);
  drawAxes(paper, frame, x, y, xs, [from, to]);
  for (const [, ys, kind] of series) drawLine(paper, xs.map((step, i) => [x(step), ys[i] === null ? NaN : y(ys[i])]), kind);
  const cursor = svg("line", paper, { class: "cursor", y1: frame.top, y2: frame.bottom });
  Object.assign(box, { count: xs.length, nearest: place => nearest(xs.map(x), place * width), tell: i => {
    box.index = clamp(i, 0, xs.length - 1);
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, x(xs[box.index]));
    tellStep(box, xs[box.index], series.map(([name, ys]) => [name, ys[box.index]]));
  } });
  box.tell(box.follows ? xs.length - 1 : box.index);
}

const PLOT_HEIGHT = 190;

// From the least number, or `least`, to the greatest, each at a mark or beyond.
function ends(numbers, least) {
  const low = least ?? Math.min(...numbers), high = Math.max(...numbers), marks = ticks(low, high, 4);
  return [Math.min(low, marks[0]), Math.max(high, marks.at(-1))];
}

function drawAxes(paper, { left, right, bottom }, x, y, xs, [from, to]) {
  for (const mark of ticks(from, to, 4)) {
    svg("line", paper, { class: "grid", x1: left, x2: right, y1: y(mark), y2: y(mark) });
    const text = mark >= 1000 ? count(mark) : digits(mark, 3);
    svg("text", paper, { x: left - 6, y: y(mark) + 4, "text-anchor": "end" }).textContent = text;
  }
  svg("text", paper, { x: right, y: bottom + 16, "text-anchor": "end" }).textContent = "step";
  for (const mark of ticks(xs[0], xs.at(-1), 5).filter(mark => x(mark) < right - 50))
    svg("text", paper, { x: x(mark), y: bottom + 16, "text-anchor": "middle" }).textContent = count(mark);
}

function strokes(kind) {
  const { blue, orange, gray } = model.colors;
  return { blue: `rgb(${blue})`, orange: `rgb(${orange})`, faint: `rgba(${gray},.45)` }[kind];
}

// Few points, such as evaluations, are marked one by one.
function drawLine(paper, points, kind) {
  const drawn = points.filter(([, y]) => Number.isFinite(y));
  const path = drawn.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");
  if (drawn.length) svg("path", paper, { d: `M${path}`, stroke: strokes(kind) });
  for (const [x, y] of drawn.length < 60 ? drawn : []) svg("circle", paper, { cx: x, cy: y, r: 2.5, fill: strokes(kind) });
}

// The index of the number that is nearest to a place; numbers rise.
function nearest(numbers, place) {
  const after = numbers.findIndex(number => number >= place);
  if (after <= 0) return after === 0 ? 0 : numbers.length - 1;
  return place - numbers[after - 1] < numbers[after] - place ? after - 1 : after;
}

function tellStep({ readout }, step, found) {
  const words = found.filter(([, number]) => number !== null).map(([name, number]) => `${name} ${digits(number)}`);
  readout.textContent = `step ${count(step)}: ${words.join(", ")}`;
  Object.assign(readout.dataset, { step, value: found.map(([, number]) => number ?? "").join(" ") });
}

function makePlot(id, title) {
  const box = make("div", $("plots"), { className: "card plot", "data-series": id });
  make("h2", box, { textContent: title });
  for (const [name, kind] of id === "loss" ? Object.entries(LOSS_LINES) : []) {
    const key = make("span", box, { className: "key" });
    make("i", key).style.background = strokes(kind);
    make("span", key, { textContent: name });
  }
  box.paper = svg("svg", box, { role: "application", tabindex: 0, "aria-label": `${title}, over steps; the arrow keys move` });
  box.readout = make("p", box, { className: "readout", "aria-live": "polite" });
  box.follows = true;                                       // the latest step, until someone points elsewhere
  box.paper.onpointermove = event => {
    const place = box.paper.getBoundingClientRect();
    box.follows = false;
    box.tell(box.nearest((event.clientX - place.left) / place.width));
  };
  box.paper.onpointerleave = () => { box.follows = true; box.tell(box.count - 1); };
  onArrows(box.paper, right => { box.follows = false; box.tell(box.index + right); });
  return box;
}

// Round numbers that span a range, about n of them.
function ticks(from, to, n) {
  const rough = (to - from || Math.abs(to) || 1) / n, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map(x => x * power).find(x => x >= rough), marks = [];
  for (let i = Math.ceil(from / step - 1e-9); i * step <= to + step * 1e-9; i++) marks.push(Number((i * step).toPrecision(12)));
  return marks.length ? marks : [from];
}

// The page --------------------------------------------------------------------------------------------------------------

const BUILD = {
  generate: buildGenerate, inside: buildInside, backward: buildBackward, change: buildChange, training: buildTraining,
};
const DRAW = { generate: drawGenerate, inside: drawInside, backward: drawBackward, change: drawChange, training: drawTraining };
let shown = Promise.resolve();      // when what was asked for last is drawn

function show() {
  shown = showAll();
}

async function showAll() {
  const wanted = state.view;
  showTabs();
  if (wanted !== "training") clearTimeout(poll);
  if (measuring && wanted !== "change") stopMeasuring();
  if (document.activeElement !== $("text")) $("text").value = state.text;
  const read = await passText();
  if (read) {
    drawText();
    drawDiagram();
  } else if (!["generate", "training"].includes(wanted) && !(wanted === "change" && passed)) return;
  $("body").hidden = false;
  if (state.view === wanted) await keepFocus(DRAW[wanted]);
}

function showTabs() {
  for (const view in VIEWS) {
    const chosen = view === state.view;
    $(`tab-${view}`).setAttribute("aria-selected", chosen);
    $(`tab-${view}`).tabIndex = chosen ? 0 : -1;
    $(`view-${view}`).hidden = !chosen;
    if (chosen) scrollWithin($("tabs"), $(`tab-${view}`));
    else abandon([...waiting.keys()].filter(box => $(`view-${view}`).contains(box)));
  }
  const withDiagram = ["inside", "backward", "change"].includes(state.view);
  $("body").hidden = withDiagram && !passed;              // a text that cannot be read: the panel above says why
  $("body").classList.toggle("with-diagram", withDiagram);
  $("diagram").hidden = !withDiagram;
  showInForce();
  document.title = `${VIEWS[state.view]} · minigpt lab`;
}

// What holds in all views: edits, and that a link was made with another model.
function showInForce() {
  const box = empty($("in-force")), n = state.edits.length;
  box.hidden = !n && !otherModel;
  if (otherModel) make("span", box, { textContent: `This link was made with ${otherModel}; what you see is ${model.name}.` });
  if (!n) return;
  const meaning = {
    backward: `gradients are those of the model without ${n > 1 ? "them" : "it"}`,
    generate: `the text above is read with ${n > 1 ? "them" : "it"}, what follows is drawn without`,
  }[state.view] ?? "what you see is the edited model";
  make("span", box, { textContent: `${n} edit${n > 1 ? "s are" : " is"} in force: ${meaning}.` });
  button(box, "Take back", () => change({ edits: [] }));
}

function buildTabs() {
  const keys = Object.keys(VIEWS);
  for (const view of keys)
    button($("tabs"), VIEWS[view], () => change({ view }), { id: `tab-${view}`, role: "tab", "aria-controls": `view-${view}` });
  onArrows($("tabs"), right => {
    const view = keys[clamp(keys.indexOf(state.view) + right, 0, keys.length - 1)];
    change({ view });
    $(`tab-${view}`).focus();
  });
}

function buildLinks() {
  $("copy-link").onclick = () => copy(location.origin + address(), $("copy-link"));     // without the path: it has the key
  $("copy-link").title = "of this view, for someone who runs the same model and pastes it into Open a link";
  $("paste-link").onclick = () => {
    $("link-form").hidden = !$("link-form").hidden;
    $("paste-link").setAttribute("aria-expanded", !$("link-form").hidden);
    if (!$("link-form").hidden) $("link").focus();
  };
  $("link-form").onsubmit = event => {
    event.preventDefault();
    const given = $("link").value, after = given.indexOf("#"), good = after >= 0 && after < given.length - 1;
    const words = "There is no # with something after it in this address; copy it anew with Copy link.";
    Object.assign($("link-error"), { hidden: good, textContent: words });
    if (!good) return;
    history.pushState(null, "", given.slice(after).trim());
    $("paste-link").click();
    restore();
  };
}

function takeModel(found) {
  model = found;
  names = new Map(model.names.map(row => [row.name, row]));
  abandon([...waiting.keys()]);
  replies.clear();
  [passed, backward, attended, measuredText, openBlock, run] = [null, null, null, null, 0, noRun(null)];
  document.documentElement.style.setProperty("--blue", model.colors.blue.join(" "));
  const { n_layer, n_head, n_embd, vocab_size } = model.config, box = empty($("model"));
  if (model.models.length > 1) {
    const choice = make("select", box, { "aria-label": "Model", id: "open-model" });
    for (const { key, name } of model.models) choice.append(new Option(name, key));
    choice.value = model.opened;
    choice.onchange = () => openModel(choice.value);
  } else make("b", box, { textContent: model.name });
  const shape = `${n_layer} layers, ${n_head} heads, ${n_embd} channels, vocabulary ${count(vocab_size)}`;
  make("span", box, { textContent: `${count(model.parameters)} parameters · ${shape}` });
  buildDiagram();
  makeGrid();
  $("heads").reply = null;
  $("edits-box").form = null;
}

function openModel(which) {
  pause();
  fill($("top"), "open", { which }, found => {
    const text = state.text === model.text ? found.text : state.text;
    takeModel(found);
    state = { ...stateOf(address()), text };             // what of it this model has
    history.replaceState(null, "", address());
    show();
  }).then(opened => { if (!opened && $("open-model")) $("open-model").value = model.opened; });
}

async function start() {
  buildTabs();
  buildLinks();
  buildText();
  onArrows($("diagram"), (right, down) => moveFocus($("diagram"), right + down));
  const tell = height => document.documentElement.style.setProperty("--above", `${height}px`);      // the diagram sticks below
  new ResizeObserver(([{ target }]) => tell(target.offsetHeight)).observe($("text-panel"));
  for (const view in VIEWS) BUILD[view]($(`view-${view}`));
  document.querySelectorAll(".scroll, #tabs, #heads, #code").forEach(showMore);
  if (!await fill($("top"), "model", {}, takeModel)) return;
  restore();
  addEventListener("hashchange", restore);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) pause();
    else if (state.view === "training") drawTraining();
  });
  let resized;
  addEventListener("resize", () => {
    clearTimeout(resized);
    resized = setTimeout(() => { $("heads").reply = null; show(); }, 150);
  });
}

start();
