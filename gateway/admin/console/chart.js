// A sparkline: the last points of one series, drawn to the width of its box.

const POINTS = 60;
const NS = "http://www.w3.org/2000/svg";

export class Spark {
  constructor(box) {
    this.values = [];
    const svg = document.createElementNS(NS, "svg");
    svg.setAttribute("viewBox", `0 0 ${POINTS - 1} 100`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    this.area = svg.appendChild(document.createElementNS(NS, "path"));
    this.line = svg.appendChild(document.createElementNS(NS, "path"));
    this.area.setAttribute("class", "area");
    this.line.setAttribute("class", "line");
    box.replaceChildren(svg);
  }

  push(value) {
    this.values.push(value);
    if (this.values.length > POINTS) this.values.shift();
    const top = Math.max(...this.values, 1e-9);
    const first = POINTS - this.values.length;
    const points = this.values.map((v, i) => `${first + i} ${(97 - (v / top) * 90).toFixed(2)}`);
    this.line.setAttribute("d", `M${points.join("L")}`);
    this.area.setAttribute("d", `M${first} 100L${points.join("L")}L${POINTS - 1} 100Z`);
  }
}
