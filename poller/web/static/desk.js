// What the pages do beyond themselves: they are whole without it. Nothing here asks before an act: the server does.
"use strict";
(() => {
  const root = document.documentElement, body = document.body, live = document.getElementById("live");
  const wanted = Number(body.dataset.refresh || 0), every = wanted && Math.max(wanted, Number(live.dataset.every || 0)) * 1000;
  const seconds = () => document.querySelectorAll("[data-show=ago]");
  const local = body.dataset.zone === "local";
  let asOf = Date.now(), failed = 0;

  function words(age) {
    for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "m"]]) if (age >= 2 * size) return Math.round(age / size) + unit;
    return Math.floor(age) + "s";
  }
  function showTimes() {
    for (const each of seconds()) {
      const age = (Date.now() + skew - Date.parse(each.getAttribute("datetime"))) / 1000;
      const text = age >= 0 ? words(age) + " ago" : "in " + words(-age);
      if (each.textContent !== text) each.textContent = text;
    }
    if (!local) return;
    for (const each of document.querySelectorAll("time[data-show=clock], time[data-show=full]")) {
      const at = new Date(each.dateTime), clock = each.dataset.show === "clock";
      const text = new Intl.DateTimeFormat("sv-SE", clock ? { timeStyle: "medium" } : { dateStyle: "short", timeStyle: "medium" }).format(at);
      if (each.textContent !== text) each.textContent = text;
    }
  }
  // The server's clock, so that a browser whose clock is wrong shows right ages.
  const age = document.getElementById("age"), first = age && age.querySelector("time");
  const skew = first ? Date.parse(first.dateTime) - Date.now() : 0;

  function pulse(ok) {
    failed = ok ? 0 : failed + 1;
    if (ok) asOf = Date.now();
    root.classList.toggle("is-stale", failed > 0);
    if (!age) return;
    const at = new Date(asOf + skew), text = local ? at.toLocaleTimeString("sv-SE") : at.toISOString().slice(11, 19);
    age.textContent = failed ? text + ", " + words((Date.now() - asOf) / 1000) + " ago" : text;
  }
  const editing = () => {
    const at = document.activeElement;
    return at && live.contains(at) && at.matches("input:not([type=checkbox]), select, textarea");
  };
  let next = Date.now() + every;
  function tick() {
    showTimes();
    if (failed) pulse(false);
    if (!every || document.hidden || editing() || Date.now() < next || !live || !live.hasAttribute("hx-get")) return;
    next = Date.now() + every * Math.min(8, 2 ** failed);
    body.dispatchEvent(new Event("tick"));
  }
  // What has not changed is not sent again: the server is told which version is shown.
  let version = live && live.dataset.version;
  document.addEventListener("htmx:config:request", (event) => { event.detail.ctx.request.headers["HX-PTag"] = version; });
  document.addEventListener("htmx:after:request", (event) => {
    const response = event.detail && event.detail.ctx && event.detail.ctx.response;
    if (!response) return;
    version = response.headers.get("HX-PTag") || version;
    if (response.status === 401) location.reload();
    pulse(response.status < 400);
  });
  document.addEventListener("htmx:error", () => pulse(false));
  document.addEventListener("htmx:after:swap", () => { showTimes(); selection(); });
  document.addEventListener("visibilitychange", () => { next = 0; });

  // Rows that are chosen: how many, and all of a page at once.
  function selection() {
    const boxes = [...document.querySelectorAll("input[name^=key]")], chosen = boxes.filter((each) => each.checked).length;
    for (const each of document.querySelectorAll("[data-chosen]")) each.textContent = chosen ? chosen + " chosen" : "";
    const all = document.getElementById("choose");
    if (all) { all.hidden = false; all.checked = chosen > 0 && chosen === boxes.length; all.indeterminate = chosen > 0 && chosen < boxes.length; }
  }
  document.addEventListener("change", (event) => {
    if (event.target.id === "choose") for (const each of document.querySelectorAll("input[name^=key]")) each.checked = event.target.checked;
    selection();
  });
  document.addEventListener("click", (event) => {
    const menu = document.querySelector(".menu[open]");
    if (menu && !menu.contains(event.target)) menu.open = false;
  });

  // What is to be run elsewhere is copied by a button, where the browser allows that.
  for (const each of navigator.clipboard ? document.querySelectorAll("[data-copy]") : []) {
    each.hidden = false;
    each.addEventListener("click", () => navigator.clipboard.writeText(document.getElementById(each.dataset.copy).textContent).then(() => { each.textContent = "Copied"; }));
  }

  // Keys: g and a letter goes to a page, / to the search, Escape closes the menu.
  let before = "";
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
    const links = [...document.querySelectorAll(".bar nav a")];
    if (event.key === "Escape") document.querySelector(".menu").open = false;
    else if (before === "g") { const to = links.find((each) => each.textContent.trim().toLowerCase()[0] === event.key); if (to) to.click(); }
    else if (event.key === "/") { const find = links.find((each) => each.textContent.trim() === "Find"); if (find) { event.preventDefault(); find.click(); } }
    before = event.key;
  });

  setInterval(tick, 250);
  showTimes();
  selection();
})();
