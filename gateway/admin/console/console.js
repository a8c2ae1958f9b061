// The console: reads the admin API and shows it. Text goes in as text, never as markup.

import { Spark } from "/console/static/chart.js";

const LIVE_MS = 2000, SLOW_MS = 10000, LINES_MAX = 200;
const $ = (id) => document.getElementById(id);
const GUARD = { "X-Tollgate-Console": "1" };

let account = null, month = null, packTab = "available";
let traffic = new Map(), trafficAt = 0, rates = new Map();
let instances = [], services = [], packs = [], timers = [];
let sparks = {};

class SignedOut extends Error {}

async function get(path) {
  const answer = await fetch(path, { headers: GUARD });
  if (answer.status === 401) throw new SignedOut();
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

const items = async (path) => (await get(path)).items;
const query = (path, fields) => `${path}?${new URLSearchParams(fields)}`;

// Words and numbers

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const count = (n) => whole.format(n);
const rate = (n) => (n >= 100 ? whole.format(Math.round(n)) : short.format(n));

function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i += 1; }
  return `${i === 0 ? Math.round(n) : short.format(n)} ${units[i]}`;
}

// Money stays text, and gains separators: all 8 decimals in tables, where they align; `places` of them elsewhere.
function money(text, places = 8) {
  const [, sign, units, decimals] = /^(-?)(\d+)\.(\d{8})$/.exec(text || "") || [];
  if (units === undefined) return "–";
  return `${sign ? "−" : ""}${units.replace(/\B(?=(\d{3})+$)/g, ",")}.${decimals.slice(0, places)}`;
}

const time = (text) => (text ? text.replace("T", " ").replace(/:00Z$/, "").replace("Z", "") : "–");

// Page building

function make(tag, content, className) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  for (const part of [content].flat()) if (part !== null && part !== undefined) node.append(part);
  return node;
}

const badge = (text, kind) => make("span", text, `badge ${kind || ""}`);
const STATES = { active: "good", serving: "good", arrears: "warn", suspended: "bad", destroyed: "bad", isolated: "bad", released: "bad" };
const state = (text) => badge(text, STATES[text]);

// columns: [title, item => content, class]
function table(element, columns, rows, empty) {
  const head = make("thead", make("tr", columns.map(([title, , kind]) => make("th", title, kind))));
  const body = make("tbody", rows.map((row) => make("tr", columns.map(([, show, kind]) => make("td", show(row), kind)))));
  if (rows.length === 0) {
    const cell = make("td", empty, "empty");
    cell.colSpan = columns.length;
    body.append(make("tr", cell));
  }
  element.replaceChildren(head, body);
}

function choose(select, values, current) {
  if (select.options.length !== values.length || [...select.options].some((o, i) => o.value !== values[i])) {
    select.replaceChildren(...values.map((value) => new Option(value, value)));
  }
  if (current !== null && current !== undefined) select.value = current;
}

// Live traffic

const KEYS = ["calls", "frontend_errors", "backend_errors", "egress_internet", "egress_vpc"];

async function live() {
  const now = performance.now(), rows = await items("/v1/traffic");
  const own = new Set(instances.filter((i) => i.account === account).map((i) => i.id));
  const passed = (now - trafficAt) / 1000, before = traffic;
  traffic = new Map(rows.map((row) => [`${row.instance} ${row.service}`, row]));
  const isFirst = trafficAt === 0;
  trafficAt = now;
  if (isFirst) return;
  rates = new Map();
  const sum = { calls: 0, egress: 0, errors: 0 };
  for (const [key, row] of traffic) {
    const old = before.get(key), at = {};
    for (const name of KEYS) at[name] = Math.max(0, row[name] - (old ? old[name] : 0)) / passed;
    at.errors = at.frontend_errors + at.backend_errors;
    at.egress = at.egress_internet + at.egress_vpc;
    rates.set(key, at);
    if (own.has(row.instance) || row.instance === "-") for (const name of Object.keys(sum)) sum[name] += at[name];
  }
  for (const [name, show] of [["calls", rate], ["egress", bytes], ["errors", rate]]) {
    $(`tile-${name}`).querySelector(".now").textContent = show(sum[name]);
    sparks[name].push(sum[name]);
  }
  showInstances();
  showServices();
}

const rateOf = (match, name) =>
  [...rates].reduce((sum, [key, at]) => (match(...key.split(" ")) ? sum + at[name] : sum), 0);

function showInstances() {
  const of = (item) => (instance) => instance === item.id;
  table($("instances"), [
    ["Instance", (i) => i.id, "id"],
    ["Type", (i) => i.spec || i.type],
    ["Region", (i) => i.region],
    ["State", (i) => state(i.serving ? "serving" : i.state || "suspended")],
    ["QPS limit", (i) => (i.limits && i.limits.instance ? count(i.limits.instance) : "–"), "number"],
    ["Services", (i) => `${count(i.services)} / ${count(i.services_max)}`, "number"],
    ["Calls/s", (i) => rate(rateOf(of(i), "calls")), "number"],
    ["Egress/s", (i) => bytes(rateOf(of(i), "egress")), "number"],
    ["Errors/s", (i) => rate(rateOf(of(i), "errors")), "number"],
  ], instances.filter((i) => i.account === account), "No instance.");
}

function showServices() {
  const of = (item) => (instance, service) => service === item.id;
  const own = new Set(instances.filter((i) => i.account === account).map((i) => i.id));
  table($("services"), [
    ["Service", (s) => s.id, "id"],
    ["Instance", (s) => s.instance],
    ["Path", (s) => [(s.hosts || []).join(", "), s.hosts && s.hosts.length ? " " : "", s.path || `/${s.id}`]],
    ["Protocol", (s) => s.protocol || "http"],
    ["QPS limit", (s) => [s.qps ? count(s.qps) : "–", s.limit_mode === "shadow" ? make("small", " shadow") : null], "number"],
    ["Targets", (s) => count(s.upstream.targets.length), "number"],
    ["From", (s) => (s.source === "api" ? "API" : "file")],
    ["Calls/s", (s) => rate(rateOf(of(s), "calls")), "number"],
    ["Egress/s", (s) => bytes(rateOf(of(s), "egress")), "number"],
    ["Errors/s", (s) => rate(rateOf(of(s), "errors")), "number"],
  ], services.filter((s) => own.has(s.instance)), "No service.");
}

// Packs, under two tabs: what can still be drawn on, and what cannot

const quantity = (pack, n) => (pack.meter === "calls" ? count(n) : bytes(n));

function showPacks() {
  const isAvailable = packTab === "available";
  const rows = packs.filter((pack) => (pack.state === "active") === isAvailable);
  const step = (pack) => Math.min(100, Math.round((pack.used / (pack.total || 1)) * 20) * 5);
  table($("packs"), [
    ["Pack", (p) => p.id, "id"],
    ["Region", (p) => p.region || "all"],
    ["Type", (p) => (p.meter === "calls" ? "Calls" : "Egress")],
    ["Source", (p) => p.source],
    ["Used", (p) => [make("span", make("i", null, `w${step(p)}`), "meter"), `${quantity(p, p.used)} / ${quantity(p, p.total)}`]],
    ["Collected", (p) => time(p.collected_at || p.valid_from)],
    ["Valid from", (p) => time(p.valid_from)],
    ["Valid to", (p) => time(p.valid_to)],
    ["State", (p) => badge(p.state.replace("_", " "), p.state === "active" ? "good" : "")],
  ], rows, isAvailable ? "No pack that can be drawn on." : "No pack is used up, expired or refunded.");
  for (const name of ["available", "invalid"]) $(`tab-${name}`).setAttribute("aria-selected", String(name === packTab));
  $("packs").setAttribute("aria-labelledby", `tab-${packTab}`);
}

// Account and bill

const METERS = { calls: "Calls", egress_client: "Egress to clients", egress_backend: "Egress to backends", instance_seconds: "Instance" };
const COVERS = { free: "free quota", pack: "pack", payg: "pay as you go", instance: "instance" };

function lineQuantity(line) {
  if (line.meter.startsWith("egress")) return bytes(line.quantity);
  return line.meter === "instance_seconds" ? `${count(line.quantity)} s` : count(line.quantity);
}

function showBill(bill) {
  const months = Object.keys(bill.bills).sort().reverse();
  choose($("month"), months, months.includes(month) ? month : months[0]);
  month = $("month").value || null;
  const current = bill.bills[month] || { lines: [], total: null };
  const lines = current.lines.slice().reverse();
  $("month").hidden = months.length === 0;
  $("bill-total").textContent = current.total === null ? "" : `${money(current.total)} ${$("currency").textContent}`;
  table($("bill"), [
    ["Hour (UTC)", (l) => time(l.hour)],
    ["Instance", (l) => l.instance, "id"],
    ["Region", (l) => l.region],
    ["Meter", (l) => METERS[l.meter] || l.meter],
    ["Covered by", (l) => [COVERS[l.cover] || l.cover, l.pack ? make("small", ` ${l.pack}`) : null, l.late ? make("small", " late") : null]],
    ["Tier", (l) => (l.tier === null ? "–" : String(l.tier)), "number"],
    ["Quantity", lineQuantity, "number"],
    ["Unit price", (l) => [l.unit_price, make("small", ` / ${l.per === 1073741824 ? "GB" : l.per === 1 ? "s" : count(l.per)}`)], "number"],
    ["Amount", (l) => money(l.amount), "number"],
  ], lines.slice(0, LINES_MAX), "Nothing billed yet; hours are settled when they end.");
  $("bill-more").hidden = lines.length <= LINES_MAX;
  $("bill-more").textContent = `The latest ${LINES_MAX} of ${count(lines.length)} lines. All: tollgate bill --csv`;
}

async function slow() {
  const [node, accounts, all, ours] = await Promise.all([get("/v1/node"), items("/v1/accounts"), items("/v1/instances"), items("/v1/services")]);
  instances = all;
  services = ours;
  $("node").textContent = `${node.node} · ${node.version}`;
  $("clock").hidden = node.clock.rate === 1;
  $("clock").textContent = `clock × ${node.clock.rate}: ${time(node.clock.now)} UTC`;
  const ids = accounts.map((a) => a.id);
  if (!ids.includes(account)) account = ids[0] || null;
  choose($("account"), ids, account);
  const own = accounts.find((a) => a.id === account);
  if (own) {
    const word = $("account-state");
    word.textContent = own.state;
    word.className = `badge ${STATES[own.state] || ""}`;
    $("balance").textContent = money(own.balance, 2);
    $("balance").title = money(own.balance);
    $("currency").textContent = own.currency || "";
    $("wallet").replaceChildren(...["cash", "income", "gift", "held"].flatMap((bucket) =>
      [make("dt", bucket), make("dd", money(own.wallet[bucket]))]));
    const [bill, list] = await Promise.all([get(query("/v1/bills", { account })), items(query("/v1/packs", { account }))]);
    packs = list;
    showPacks();
    showBill(bill);
  }
  showInstances();
  showServices();
}

// Life of the page

function every(ms, job) {
  const turn = async () => {
    try {
      await job();
      $("link").hidden = true;
    } catch (error) {
      if (error instanceof SignedOut) return signedOut();
      $("link").hidden = false;
      $("link").className = "badge bad";
      $("link").textContent = "no answer from the node";
    }
    timers.push(setTimeout(turn, ms));
  };
  return turn();
}

async function signedIn() {
  $("sign-in").hidden = true;
  $("console").hidden = $("sign-out").hidden = false;
  sparks = {};
  for (const name of ["calls", "egress", "errors"]) sparks[name] = new Spark($(`tile-${name}`).querySelector(".chart"));
  trafficAt = 0;
  await every(SLOW_MS, slow);
  await every(LIVE_MS, live);
}

function signedOut() {
  timers.forEach(clearTimeout);
  timers = [];
  $("console").hidden = $("sign-out").hidden = true;
  $("sign-in").hidden = false;
  $("token").focus();
}

$("sign-in-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await fetch("/console/session", {
    method: "POST",
    headers: { ...GUARD, "Content-Type": "application/json" },
    body: JSON.stringify({ token: $("token").value }),
  }).catch(() => null);
  $("sign-in-error").hidden = Boolean(answer && answer.ok);
  $("sign-in-error").textContent = answer ? "That is not the node's token." : "The node does not answer.";
  if (answer && answer.ok) {
    $("token").value = "";
    signedIn();
  }
});
$("sign-out").addEventListener("click", async () => {
  await fetch("/console/session", { method: "DELETE", headers: GUARD }).catch(() => null);
  signedOut();
});
$("account").addEventListener("change", () => { account = $("account").value; month = null; slow().catch(() => {}); });
$("month").addEventListener("change", () => { month = $("month").value; slow().catch(() => {}); });
for (const name of ["available", "invalid"]) {
  $(`tab-${name}`).addEventListener("click", () => { packTab = name; showPacks(); });
}

get("/v1/node").then(signedIn, signedOut);
