"use strict";
/* Draws the charts of the dashboards. Each <figure data-chart="address"> gets its data as JSON from that address:
   {kind, unit, times, spans, series: [{name, values, shown, url, tone}], note, empty}. Every point leads to the calls
   behind it, by a click in the chart and by a link in the table below it, which says the same for those who read. */
(() => {
  const COLOURS = 9;
  /* Hours have their day below them, at the first of them; days and months have no year, which the filter bar says. */
  const HOUR = 3_600_000;
  const TIMES = [
    { dtickrange: [null, 23 * HOUR], value: "%H:%M\n%b %-d" }, { dtickrange: [23 * HOUR, 27 * 24 * HOUR], value: "%b %-d" },
    { dtickrange: [27 * 24 * HOUR, null], value: "%b %Y" },
  ];
  /* What fits on A4 beside the margins of a card. */
  const PRINTED_WIDTH = 660;
  const drawn = new Map();
  let printing = false;

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };

  function callsUrl(series, span) {
    if (!series.url || !span) return "";
    const url = new URL(series.url, location.origin);
    url.searchParams.set("since", span[0]);
    url.searchParams.set("until", span[1]);
    return url.pathname + url.search;
  }

  const most = (data) => Math.max(0, ...data.series.flatMap((series) => series.values));
  /* Times of more than ten seconds are drawn in seconds. */
  const scale = (data) => (data.unit === "ms" && most(data) >= 10_000 ? 1 / 1000 : 1);

  function axis(data) {
    const top = most(data) * scale(data);
    const decimals = top > 0 && top < 1 ? 1 - Math.floor(Math.log10(top)) : 2;
    const formats = { money: [`,.${decimals}~f`, ""], ms: [",", scale(data) === 1 ? " ms" : " s"], count: ["~s", ""], percent: ["", "%"] };
    const [tickformat, ticksuffix] = formats[data.unit] || formats.count;
    // Of a few things there are no parts.
    return { tickformat, ticksuffix, ...(data.unit === "count" && top < 5 ? { dtick: 1 } : {}) };
  }

  function traces(data) {
    return data.series.map((series, index) => {
      const own = series.tone ? colour(`--th-tone-${series.tone}`) : colour(`--th-c${index % COLOURS}`);
      const trace = {
        name: series.name, x: data.times, y: series.values.map((value) => value && value * scale(data)), customdata: series.shown,
        hovertemplate: "%{customdata}", marker: { color: own },
      };
      if (data.kind === "bars") return { ...trace, type: "bar" };
      return {
        ...trace, type: "scatter", mode: data.times.length < 3 ? "lines+markers" : "lines", connectgaps: false,
        line: { color: own, width: series.tone === "limit" ? 1.5 : 2, dash: series.dash || "solid", shape: series.shape || "linear" },
      };
    });
  }

  function layout(data, box) {
    const quiet = colour("--body-quiet-color"), line = colour("--hairline-color");
    const base = { gridcolor: line, linecolor: line, zerolinecolor: line, tickfont: { color: quiet, size: 11 }, automargin: true };
    return {
      barmode: "relative", bargap: 0.18, hovermode: "x unified", dragmode: false, showlegend: data.series.length > 1,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", height: box.classList.contains("low") ? 220 : 300,
      ...(printing ? { width: PRINTED_WIDTH } : {}), margin: { l: 8, r: 8, t: 8, b: 8 }, font: { family: getComputedStyle(document.body).fontFamily, color: colour("--body-fg"), size: 12 },
      legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0, font: { size: 11 } },
      hoverlabel: { bgcolor: colour("--th-card"), bordercolor: colour("--border-color"), font: { color: colour("--body-fg"), size: 12 } },
      xaxis: { ...base, type: "date", showgrid: false, fixedrange: true, tickangle: 0, nticks: box.clientWidth < 500 ? 3 : 10, tickformatstops: TIMES },
      yaxis: { ...base, ...axis(data), tickprefix: data.prefix || "", rangemode: "tozero", fixedrange: true, nticks: 5 },
    };
  }

  async function draw(figure) {
    const data = drawn.get(figure), box = figure.querySelector(".th-canvas");
    await Plotly.react(box, traces(data), layout(data, box), { displayModeBar: false, responsive: true });
    if (!box.dataset.leads) {
      box.dataset.leads = "yes";
      box.on("plotly_click", (event) => {
        const point = event.points[0], found = drawn.get(figure);
        const url = callsUrl(found.series[point.curveNumber], found.spans[point.pointNumber]);
        if (url) location.assign(url);
      });
    }
  }

  function table(figure, data) {
    const place = figure.querySelector(".th-data");
    const made = element("table"), head = element("tr"), body = element("tbody"), top = element("thead");
    head.append(element("th", "From", { scope: "col" }));
    for (const series of data.series) head.append(element("th", series.name, { scope: "col", class: "num" }));
    top.append(head);
    data.times.forEach((time, row) => {
      const line = element("tr");
      line.append(element("th", time.replace("T", " ").slice(0, 16), { scope: "row" }));
      for (const series of data.series) {
        const cell = element("td", undefined, { class: "num" }), url = callsUrl(series, data.spans[row]);
        const shown = series.shown[row];
        if (url && series.values[row]) {
          cell.append(element("a", shown, { href: url, "aria-label": `${shown}: calls of ${series.name} from ${time.replace("T", " ").slice(0, 16)}` }));
        } else cell.textContent = shown;
        line.append(cell);
      }
      body.append(line);
    });
    made.append(top, body);
    place.replaceChildren(made);
  }

  function say(figure, text, again) {
    const state = figure.querySelector(".th-state");
    state.replaceChildren(element("span", text));
    state.hidden = !text;
    if (again) {
      const button = element("button", "Try again", { type: "button", class: "th-button plain" });
      button.addEventListener("click", () => load(figure));
      state.append(button);
    }
    figure.classList.toggle("is-drawn", !text);
  }

  async function load(figure) {
    say(figure, "Loading…");
    figure.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(figure.dataset.chart, { headers: { Accept: "application/json" }, credentials: "same-origin" });
      const data = answer.headers.get("Content-Type")?.startsWith("application/json") ? await answer.json() : null;
      if (answer.redirected || answer.status === 401) return say(figure, "You are logged out: reload the page to log in.");
      if (answer.status === 403) return say(figure, "You may not see this chart.");
      if (!answer.ok || !data) return say(figure, data?.problem || `The server could not make this chart (${answer.status}).`, answer.status >= 500);
      if (!data.series.length) return say(figure, data.empty);
      say(figure, "");
      drawn.set(figure, data);
      figure.querySelector(".th-note").textContent = data.note || "";
      table(figure, data);
      figure.querySelector("details").hidden = false;
      await draw(figure);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      say(figure, "The server cannot be reached.", true);
    } finally {
      figure.setAttribute("aria-busy", "false");
    }
  }

  function redraw() {
    for (const figure of drawn.keys()) draw(figure);
  }

  /* Loads a chart that was not asked for yet; what comes back ends when it is drawn, or has said why not. */
  const asked = new Map();
  function once(figure) {
    if (!asked.has(figure)) asked.set(figure, load(figure));
    return asked.get(figure);
  }

  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting) once(target);
    }
  }, { rootMargin: "400px" });
  document.querySelectorAll("figure[data-chart]").forEach((figure) => seen.observe(figure));
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  /* On paper charts are as wide as it is, and in light colours, which are set before the page is laid out for it. */
  const root = document.documentElement;
  addEventListener("beforeprint", () => {
    if (printing) return;
    printing = true;
    root.dataset.screenTheme = root.dataset.theme || "";
    root.dataset.theme = "light";
    redraw();
    for (const figure of document.querySelectorAll("figure[data-chart]:not(.is-drawn)")) {
      if (!figure.hasAttribute("aria-busy")) say(figure, "This chart was not drawn yet; the button “Print” waits for all of them.");
    }
  });
  addEventListener("afterprint", () => {
    if (!printing) return;
    printing = false;
    root.dataset.theme = root.dataset.screenTheme;
    redraw();
  });
  for (const button of document.querySelectorAll(".th-print")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await Promise.all([...document.querySelectorAll("figure[data-chart]")].map(once));
      print();
    });
  }

  /* The fields of a range of one's own are there only when it is chosen. */
  for (const select of document.querySelectorAll("select[name=range]")) {
    const own = select.form.querySelectorAll(".th-own");
    const show = () => own.forEach((label) => {
      label.hidden = select.value !== "custom";
      label.querySelector("input").disabled = label.hidden;
    });
    select.addEventListener("change", show);
    show();
  }
  /* Fields without a value stay out of the address. */
  for (const form of document.querySelectorAll("form.th-bar")) {
    form.addEventListener("submit", () => {
      for (const field of form.elements) if (field.name && !field.value) field.disabled = true;
    });
    addEventListener("pageshow", () => { for (const field of form.elements) field.disabled = false; });
  }
})();
