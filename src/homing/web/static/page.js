// What makes the page live: parts that the server sends take the place of old ones. Without it the page loads itself again.
"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const shown = new Map();
  let ahead = Number(document.body.dataset.now) * 1000 - Date.now();
  let heard = Date.now();
  let source = null;
  let timer = 0;

  // How long ago things were, by the server's clock.
  const ago = (at, now) => {
    const seconds = Math.abs(now - at) / 1000;
    const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"]].find(([one]) => seconds >= one) || [1, "s"];
    const text = `${Math.round(seconds / size)} ${unit}`;
    return at > now ? `in ${text}` : `${text} ago`;
  };
  const tell = () => {
    const now = Date.now() + ahead;
    for (const one of document.querySelectorAll("time[datetime]")) {
      const text = ago(Date.parse(one.dateTime), now);
      if (one.textContent !== text) one.textContent = text;
    }
  };
  setInterval(tell, 5000);

  // Colours, remembered where the browser lets us.
  const themes = document.querySelectorAll("input[name=theme]");
  let kept = null;
  try { kept = localStorage.getItem("homing-theme"); } catch { /* forbidden: the choice holds until the page is left */ }
  for (const one of themes) {
    if (one.value === kept) one.checked = true;
    one.addEventListener("change", () => { try { localStorage.setItem("homing-theme", one.value); } catch { /* as above */ } });
  }

  // The filter: at once for the names that are here, by the server when there are more.
  const form = find("filter");
  const query = () => (form ? "?" + new URLSearchParams(new FormData(form)) : location.search);
  const more = () => document.querySelector("#part-names .more");
  let whole = !form || (!find("q").value && !find("wrong").checked);
  const ask = async () => {
    const answer = await fetch(query());
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    put("names", page.getElementById("part-names").innerHTML);
  };
  const filter = () => {
    if (!form) return;
    const text = find("q").value.trim().toLowerCase();
    const wrong = find("wrong").checked;
    let left = 0;
    for (const row of document.querySelectorAll("#part-names tbody tr")) {
      const state = row.querySelector(".state");
      const quiet = state && /good|off/.test(state.className);
      row.hidden = !(row.textContent.toLowerCase().includes(text) && !(wrong && quiet));
      left += !row.hidden;
    }
    document.querySelector("#part-names .nothing").hidden = left > 0;
  };
  if (form) {
    form.addEventListener("input", () => {
      clearTimeout(timer);
      if (whole && !more()) filter();
      else timer = setTimeout(ask, 300);
    });
  }

  const put = (name, html) => {
    const part = find("part-" + name);
    if (!part || shown.get(name) === html) return;
    shown.set(name, html);
    const active = part.contains(document.activeElement) ? document.activeElement.id : "";
    const open = [...part.querySelectorAll("details[open]")].map((one) => one.id);
    part.innerHTML = html;
    for (const one of open) if (find(one)) find(one).open = true;
    if (active && find(active)) find(active).focus();
    if (name === "names") filter();
    tell();
  };

  const part = (event) => {
    const { name, html } = JSON.parse(event.data);
    if (name === "names") {
      const filtered = form && (find("q").value || find("wrong").checked);
      whole = true;
      if (filtered && html.includes('class="soft more"')) { whole = false; ask(); return; }
    }
    put(name, html);
    if (name === "headline") {
      const title = document.querySelector("#part-headline h1").textContent;
      const addresses = [...document.querySelectorAll("#part-headline .address")].map((one) => one.textContent);
      const news = [title, ...addresses].join(", ");
      document.title = title + " · Homing";
      if (find("news").dataset.text !== undefined && find("news").dataset.text !== news) find("news").textContent = news;
      find("news").dataset.text = news;
    }
  };

  const live = (on) => {
    const mark = find("live");
    mark.hidden = false;
    mark.classList.toggle("on", on);
    mark.textContent = on ? "live" : "reconnecting";
  };
  const close = () => { if (source) source.close(); source = null; };
  const open = () => {
    if (source || document.hidden) return;
    heard = Date.now();
    source = new EventSource(document.body.dataset.live);
    source.addEventListener("open", () => live(true));
    source.addEventListener("part", (event) => { heard = Date.now(); part(event); });
    source.addEventListener("beat", (event) => { heard = Date.now(); ahead = Number(event.data) * 1000 - heard; tell(); });
    source.addEventListener("error", () => live(false));
  };
  // A browser has few connections for one server: a page that nobody sees gives its own back.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  // A refused stream ends for good, and a broken one may stay silent: both are opened again.
  setInterval(() => {
    if (source && (source.readyState === 2 || Date.now() - heard > 45000)) { live(false); close(); }
    open();
  }, 10000 + Math.random() * 5000);
  open();
})();
