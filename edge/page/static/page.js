// The page's only script: live fragments, keys, the clock. Without it the page shows the state of its last loading.

const body = document.body;

// ---------------------------------------------------------------- fragments

/** Replace a part of the page, once the picture in the new one is decoded, so that nothing flickers. */
async function put(place, html) {
  const made = document.createElement("template");
  made.innerHTML = html;
  const image = made.content.querySelector("image:not(.heat)");
  const address = image?.getAttribute("href");
  if (address && address !== place.querySelector("image:not(.heat)")?.getAttribute("href")) {
    const turn = (place.turn = (place.turn ?? 0) + 1);
    const loaded = new Image();
    loaded.src = address;
    await Promise.race([loaded.decode().catch(() => {}), new Promise((done) => setTimeout(done, 250))]);
    if (place.turn !== turn) return; // a newer one has come meanwhile
  }
  place.replaceChildren(made.content);
  announce();
}

/** Tell a screen reader of another state or another alarm, not of seconds that pass. */
function announce() {
  const place = document.querySelector("[data-announce]");
  if (!place) return;
  const said = [...document.querySelectorAll("[data-said]")].map((one) => one.textContent.trim()).join(". ");
  const key = said.replace(/\d+([.,]\d+)*/g, "#");
  if (place.dataset.key !== key) {
    place.dataset.key = key;
    place.textContent = said;
  }
}

function listen(address) {
  const source = new EventSource(address);
  const lost = document.createElement("p");
  lost.className = "lost";
  lost.setAttribute("role", "alert");
  lost.textContent = body.dataset.lost;
  let heard = Date.now();
  source.onmessage = (event) => {
    heard = Date.now();
    lost.remove();
    for (const [name, html] of Object.entries(JSON.parse(event.data))) {
      const place = document.querySelector(`[data-fragment="${CSS.escape(name)}"]`);
      if (place) put(place, html);
    }
  };
  source.onopen = () => { heard = Date.now(); };
  setInterval(() => {
    if (Date.now() - heard > 5000 || source.readyState === EventSource.CLOSED) {
      body.prepend(lost);
      body.classList.add("stale");
      if (source.readyState === EventSource.CLOSED) location.reload();
    } else {
      body.classList.remove("stale");
    }
  }, 1000);
  source.onerror = () => { body.prepend(lost); body.classList.add("stale"); };
  source.addEventListener("open", () => { lost.remove(); body.classList.remove("stale"); });
}

if (body.dataset.events) listen(body.dataset.events);

// a narrow screen scrolls the navigation: show the tabs of this view
for (const tab of document.querySelectorAll(".top nav [aria-current]")) {
  const nav = tab.parentElement;
  nav.scrollLeft = tab.offsetLeft - nav.offsetLeft - (nav.clientWidth - tab.offsetWidth) / 2;
}

// ---------------------------------------------------------------- the clock

const clock = document.querySelector("[data-clock]");
function tick() {
  clock.textContent = new Date().toLocaleTimeString(document.documentElement.lang, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
}
if (clock) { tick(); setInterval(tick, 1000); }

// ---------------------------------------------------------------- keys

/** Move the focus among the tiles or rows of a list. */
function move(by) {
  const links = [...document.querySelectorAll("[data-tiles] a, [data-row] a")];
  if (!links.length) return;
  const at = links.indexOf(document.activeElement);
  links[Math.min(links.length - 1, Math.max(0, at + by))].focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.closest?.("input, select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "?") { document.querySelector("[data-help]").showModal(); return; }
  if (event.key === "j") { move(1); return; }
  if (event.key === "k") { move(-1); return; }
  const wanted = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (!wanted) return;
  event.preventDefault();
  if (wanted.matches("input")) wanted.focus(); else wanted.click();
});
