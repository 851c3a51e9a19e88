"use strict";
// Fetches the live part each second; the forms stay as they are, so that nobody types into a moving page.
const live = document.getElementById("live");
const lost = document.getElementById("lost");

function settle() {
  const now = document.getElementById("now");
  const may = now.dataset.answer === "yes";
  for (const id of ["accept", "decline", "why"]) {
    const control = document.getElementById(id);
    if (control) control.disabled = !may;
  }
  // a request says which cycle its person was looking at
  for (const field of document.querySelectorAll(".acts input[name=seq]")) field.value = now.dataset.seq;
}

async function refresh() {
  try {
    const answer = await fetch("/live", { cache: "no-store", signal: AbortSignal.timeout(4000) });
    if (answer.status === 401) return location.assign("/login");
    if (!answer.ok) throw new Error(answer.statusText);
    const text = await answer.text();
    const focused = document.activeElement && live.contains(document.activeElement) && document.activeElement.id;
    live.innerHTML = text;
    if (focused && document.getElementById(focused)) document.getElementById(focused).focus();
    lost.hidden = true;
    settle();
  } catch {
    lost.hidden = false;
    document.getElementById("now").classList.add("stale");
    for (const id of ["accept", "decline", "why"]) {
      const control = document.getElementById(id);
      if (control) control.disabled = true;
    }
  }
  setTimeout(refresh, 1000);
}

settle();
setTimeout(refresh, 1000);
