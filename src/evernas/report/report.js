(() => {
  "use strict";
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  tip.setAttribute("role", "status");
  document.body.append(tip);
  document.documentElement.classList.add("live");

  const say = (mark, x, y) => {
    tip.textContent = mark.dataset.tip;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, x + 14), window.innerWidth - box.width - 8);
    const top = y + 16 + box.height > window.innerHeight ? y - box.height - 12 : y + 16;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${Math.max(8, top)}px`;
    light(mark);
  };
  const light = (mark) => {
    document.querySelectorAll(".mark.near").forEach((other) => other.classList.remove("near"));
    if (!mark) return;
    mark.classList.add("near");
    const scope = mark.closest("section");
    if (mark.dataset.arch && scope) {
      scope.querySelectorAll(`.mark[data-arch="${CSS.escape(mark.dataset.arch)}"]`).forEach((same) => same.classList.add("near"));
    }
  };
  const hush = () => {
    tip.hidden = true;
    light(null);
  };

  document.querySelectorAll("svg.chart").forEach((chart) => {
    const marks = [...chart.querySelectorAll(".mark")].reverse();
    marks.forEach((mark) => {
      const title = mark.querySelector("title");
      mark.dataset.tip = title.textContent;
      mark.setAttribute("aria-label", title.textContent.replace(/\n/g, ", "));
      mark.setAttribute("role", "img");
      title.remove();
    });
    if (!marks.length) return;
    chart.setAttribute("tabindex", "0");
    let current = -1;
    const show = (index) => {
      current = (index + marks.length) % marks.length;
      const box = marks[current].getBoundingClientRect();
      if (box.top < 0 || box.bottom > window.innerHeight) marks[current].scrollIntoView({ block: "center" });
      const seen = marks[current].getBoundingClientRect();
      say(marks[current], seen.right, seen.top);
    };
    chart.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (step) show(current < 0 && step < 0 ? marks.length - 1 : current + step);
      else if (event.key === "Escape") hush();
      else return;
      event.preventDefault();
    });
    chart.addEventListener("blur", hush);
    const nearest = (event) => {
      let best = null;
      let bound = 14;
      for (const mark of marks) {
        const box = mark.getBoundingClientRect();
        const dx = Math.max(box.left - event.clientX, 0, event.clientX - box.right);
        const dy = Math.max(box.top - event.clientY, 0, event.clientY - box.bottom);
        const far = Math.hypot(dx, dy);
        if (far < bound) [best, bound] = [mark, far];
      }
      return best;
    };
    let waiting = false;
    chart.addEventListener("pointermove", (event) => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        const mark = nearest(event);
        if (mark) say(mark, event.clientX, event.clientY);
        else hush();
      });
    });
    chart.addEventListener("pointerleave", hush);
    chart.addEventListener("pointerdown", (event) => {
      const mark = nearest(event);
      if (mark) say(mark, event.clientX, event.clientY);
    });
  });

  const folded = () => [...document.querySelectorAll("details:not([open])")];
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = folded();
    opened.forEach((details) => { details.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((details) => { details.open = false; }));
})();
