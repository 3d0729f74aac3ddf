// What the pages do beyond themselves: they are whole without it. Nothing here asks before an act: the server does.
"use strict";
(() => {
  const one = (css) => document.querySelector(css), all = (css) => [...document.querySelectorAll(css)];
  const root = document.documentElement, body = document.body, live = one("#live");
  const wanted = Number(body.dataset.refresh || 0), every = wanted && Math.max(wanted, Number(live.dataset.every || 0)) * 1000;
  const local = body.dataset.zone === "local";
  let asOf = Date.now(), failed = 0, paused = false;

  function words(age) {
    for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "m"]]) if (age >= 2 * size) return Math.round(age / size) + unit;
    return Math.floor(age) + "s";
  }
  function showTimes() {
    for (const each of all("[data-ago], time:not([data-show])")) {
      const age = (Date.now() + skew - (each.dataset.ago * 1000 || Date.parse(each.dateTime))) / 1000;
      const text = age < 0 ? "in " + words(-age) : each.matches("[data-due]") ? "now" : words(age) + " ago";
      if (each.textContent !== text) each.textContent = text;
      if (each.dateTime && !each.title) each.title = each.dateTime.replace("T", " ").replace("Z", " UTC");
    }
    if (!local) return;
    for (const each of all("time[data-show=clock], time[data-show=full]")) {
      const at = new Date(each.dateTime), clock = each.dataset.show === "clock";
      const text = new Intl.DateTimeFormat("sv-SE", clock ? { timeStyle: "medium" } : { dateStyle: "short", timeStyle: "medium" }).format(at);
      if (each.textContent !== text) each.textContent = text;
    }
  }
  // The server's clock, so that a browser whose clock is wrong shows right ages.
  const age = one("#age"), first = age && age.querySelector("time");
  const skew = first ? Date.parse(first.dateTime) - Date.now() : 0;

  function pulse(ok) {
    failed = ok ? 0 : failed + 1;
    if (ok) asOf = Date.now();
    root.classList.toggle("is-stale", failed > 0);
    if (!age) return;
    const at = new Date(asOf + skew), text = local ? at.toLocaleTimeString("sv-SE") : at.toISOString().slice(11, 19);
    age.textContent = failed ? text + ", " + words((Date.now() - asOf) / 1000) + " ago" : paused ? "paused" : text;
  }
  const editing = () => {
    const at = document.activeElement;
    return at && live.contains(at) && at.matches("input:not([type=checkbox]), select, textarea");
  };
  let next = Date.now() + every;
  function tick() {
    showTimes();
    if (failed) pulse(false);
    if (paused || !every || document.hidden || editing() || Date.now() < next || !live || !live.hasAttribute("hx-get")) return;
    next = Date.now() + (failed ? Math.min(every, 2000) : every);
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
    const boxes = all("input[name^=key]"), chosen = boxes.filter((each) => each.checked).length;
    for (const each of all("[data-chosen]")) each.textContent = chosen ? chosen + " chosen" : "";
    const box = one("#choose");
    if (box) { box.hidden = false; box.checked = chosen > 0 && chosen === boxes.length; box.indeterminate = chosen > 0 && chosen < boxes.length; }
  }
  document.addEventListener("change", (event) => {
    if (event.target.id === "choose") for (const each of all("input[name^=key]")) each.checked = event.target.checked;
    selection();
  });
  document.addEventListener("click", (event) => {
    const menu = one(".menu[open]");
    if (menu && !menu.contains(event.target)) menu.open = false;
  });

  // What is to be run elsewhere is copied by a button, where the browser allows that.
  for (const each of navigator.clipboard ? all("[data-copy]") : []) {
    each.hidden = false;
    each.addEventListener("click", () => navigator.clipboard.writeText(document.getElementById(each.dataset.copy).textContent).then(() => { each.textContent = "Copied"; }));
  }

  // Keys: `?` shows them, the menu switches them off.
  function chooseNext(name) {
    const menu = one(".menu form"), to = menu.elements[name];
    to.selectedIndex = (to.selectedIndex + 1) % to.length;
    menu.requestSubmit();
  }
  function step(by) {
    const rows = all("main tbody tr").filter((each) => each.querySelector("a"));
    const to = rows[Math.max(0, rows.findIndex((each) => each.contains(document.activeElement)) + by)];
    if (to) to.querySelector("a").focus();
  }
  const keys = {
    "?": () => { const help = one("#keys"); help.open ? help.close() : help.showModal(); },
    "/": () => { const box = one("main [name=q]"); box ? box.focus() : one("nav [href$='/find']").click(); },
    j: () => step(1),
    k: () => step(-1),
    x: () => { const box = document.activeElement.closest("tr")?.querySelector("[type=checkbox]"); if (box) box.click(); },
    r: () => { if (live.hasAttribute("hx-get")) body.dispatchEvent(new Event("tick")); else location.reload(); },
    p: () => { paused = !paused; pulse(!failed); },
    z: () => chooseNext("zone"),
    d: () => chooseNext("theme"),
  };
  let before = "";
  document.addEventListener("keydown", (event) => {
    const key = event.key, menu = one(".menu");
    if (key === "Escape" && menu) menu.open = false;
    if (!menu || body.dataset.keys === "0" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input:not([type=checkbox]), select, textarea")) return;
    if (before === "g") {
      const named = all("nav a").filter((each) => each.textContent.trim().toLowerCase()[0] === key);
      named[(named.findIndex((each) => each.hasAttribute("aria-current")) + 1) % named.length]?.click();
    }
    else if (Object.hasOwn(keys, key)) {
      event.preventDefault();
      keys[key]();
    }
    before = before === "g" ? "" : key;
  });

  setInterval(tick, 250);
  showTimes();
  selection();
})();
