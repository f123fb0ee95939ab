// Two pictures under a line that can be dragged. Without this script both pictures are shown whole.
document.addEventListener("DOMContentLoaded", () => {
  for (const slider of document.querySelectorAll(".slider")) {
    const bar = slider.querySelector("input"), left = slider.querySelector(".left");
    const line = document.createElement("i");
    slider.insertBefore(line, bar);
    slider.classList.add("live");
    bar.hidden = false;
    const show = () => {
      left.style.clipPath = `inset(0 ${100 - bar.value}% 0 0)`;
      line.style.left = bar.value + "%";
    };
    const follow = event => {
      const box = slider.querySelector(".right").getBoundingClientRect();
      bar.value = 100 * (event.clientX - box.left) / box.width;
      show();
    };
    slider.onpointerdown = event => {
      if (event.target === bar) return;
      slider.setPointerCapture(event.pointerId);
      follow(event);
    };
    slider.onpointermove = event => { if (slider.hasPointerCapture(event.pointerId)) follow(event); };
    bar.oninput = show;
    show();
  }
});
