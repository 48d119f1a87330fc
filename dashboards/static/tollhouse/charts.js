"use strict";
/* Draws the charts of the dashboards. Each <figure data-chart="address"> gets its data as JSON from that address:
   {kind, unit, times, names, twice, spans, series: [{name, values, shown, url, tone}], note, empty}. Every point leads to
   the calls behind it, by a click in the chart and by a link in the table below it, which says the same for those who read.
   Whatever comes of asking, a chart keeps its height, so that nothing on the page moves when it does. */
(() => {
  const COLOURS = 9;
  /* Hours have their day below them, at the first of them; days and months have no year, which the filter bar says. */
  const HOUR = 3_600_000;
  const TIMES = [
    { dtickrange: [null, 23 * HOUR], value: "%H:%M\n%b %-d" }, { dtickrange: [23 * HOUR, 27 * 24 * HOUR], value: "%b %-d" },
    { dtickrange: [27 * 24 * HOUR, null], value: "%b %Y" },
  ];
  /* Milliseconds after which no answer is waited for; the database has given up long before. */
  const PATIENCE = 30_000;
  /* Characters of a name in legends, in a wide and in a narrow chart. */
  const NAME = [28, 22];
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

  /* Names as legends show them: cut in the middle, as names of one kind often begin and end alike, but where two would look
     the same; and without what Plotly would take for markup. */
  function legendNames(names, box) {
    const most = NAME[box.clientWidth < 500 ? 1 : 0], end = Math.floor(most / 3);
    const short = names.map((name) => {
      const signs = [...name];
      return signs.length > most ? [...signs.slice(0, most - end - 1), "…", ...signs.slice(-end)].join("") : name;
    });
    const shown = names.map((name, at) => (short.indexOf(short[at]) === short.lastIndexOf(short[at]) ? short[at] : name));
    return shown.map((name) => name.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;"));
  }

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
    // Dollars are part of the format, which has a minus in front of them.
    const dollar = data.prefix === "$" ? "$" : "";
    const formats = { money: [`${dollar},.${decimals}~f`, ""], ms: [",", scale(data) === 1 ? " ms" : " s"], count: ["~s", ""], percent: ["", "%"] };
    const [tickformat, ticksuffix] = formats[data.unit] || formats.count;
    // Of a few things there are no parts.
    return { tickformat, ticksuffix, tickprefix: dollar ? "" : data.prefix || "", ...(data.unit === "count" && top < 5 ? { dtick: 1 } : {}) };
  }

  /* Where the clock shows an hour twice, what it showed is written below the axis and with each value: Plotly's own dates
     know nothing of it. */
  function timeAxis(data, nticks) {
    if (!data.twice) return { nticks, tickformatstops: TIMES };
    const step = Math.ceil(data.names.length / nticks);
    const places = data.names.map((_, place) => place).filter((place) => place % step === 0);
    const text = places.map((place) => data.names[place].slice(11) + (place ? "" : `<br>${data.names[place].slice(0, 10)}`));
    return { tickmode: "array", tickvals: places.map((place) => data.times[place]), ticktext: text, unifiedhovertitle: { text: " " } };
  }

  function traces(data, box) {
    const names = legendNames(data.series.map((series) => series.name), box);
    return data.series.map((series, index) => {
      const own = series.tone ? colour(`--th-tone-${series.tone}`) : colour(`--th-c${index % COLOURS}`);
      const trace = {
        name: names[index], x: data.times, y: series.values.map((value) => value && value * scale(data)),
        customdata: data.twice ? series.shown.map((shown, place) => `${data.names[place].slice(11)}: ${shown}`) : series.shown,
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
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", height: box.clientHeight,
      ...(printing ? { width: PRINTED_WIDTH } : {}), margin: { l: 8, r: 8, t: 8, b: 8 }, font: { family: getComputedStyle(document.body).fontFamily, color: colour("--body-fg"), size: 12 },
      legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", xref: "container", x: 0, font: { size: 11 } },
      hoverlabel: { namelength: -1, bgcolor: colour("--th-card"), bordercolor: colour("--border-color"), font: { color: colour("--body-fg"), size: 12 } },
      xaxis: { ...base, type: "date", showgrid: false, fixedrange: true, tickangle: 0, ...timeAxis(data, box.clientWidth < 500 ? 3 : 10) },
      yaxis: { ...base, ...axis(data), rangemode: "tozero", fixedrange: true, nticks: 5 },
    };
  }

  async function draw(figure) {
    const data = drawn.get(figure), box = figure.querySelector(".th-canvas");
    await Plotly.react(box, traces(data, box), layout(data, box), { displayModeBar: false, responsive: true });
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
    data.times.forEach((_, row) => {
      const line = element("tr");
      line.append(element("th", data.names[row], { scope: "row" }));
      for (const series of data.series) {
        const cell = element("td", undefined, { class: "num" }), url = callsUrl(series, data.spans[row]);
        const shown = series.shown[row];
        if (url && series.values[row]) {
          cell.append(element("a", shown, { href: url, "aria-label": `${shown}: calls of ${series.name} from ${data.names[row]}` }));
        } else cell.textContent = shown;
        line.append(cell);
      }
      body.append(line);
    });
    made.append(top, body);
    place.replaceChildren(made);
  }

  /* Says something in the place of the chart, with what can be done about it; nothing where the text is empty. */
  function say(figure, text, { again = false, login = false, waits = false } = {}) {
    const state = figure.querySelector(".th-state");
    state.replaceChildren(element("span", text));
    state.hidden = !text;
    state.classList.toggle("waits", waits);
    if (login) state.append(element("a", "Log in", { href: location.href, class: "th-button plain" }));
    if (again) {
      const button = element("button", "Try again", { type: "button", class: "th-button plain" });
      button.addEventListener("click", () => retry(figure));
      state.append(button);
    }
    figure.classList.toggle("is-drawn", !text);
  }

  /* The JSON of an answer; null where it is none. */
  async function json(answer) {
    try {
      return await answer.json();
    } catch (error) {
      if (error instanceof SyntaxError) return null;
      throw error;
    }
  }

  /* What came of asking for the data: {data}, or {problem} with what can be done about it. */
  async function ask(figure) {
    try {
      const answer = await fetch(figure.dataset.chart, {
        headers: { Accept: "application/json" }, credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE),
      });
      if (answer.redirected || answer.status === 401) return { problem: "You are logged out. Log in, and this page comes back.", login: true };
      if (answer.status === 403) return { problem: "You may not see this chart, or no longer may. Whoever manages users can let you; then try again.", again: true };
      if (answer.status === 404) return { problem: "What this chart shows is no longer there. Reload the page.", again: true };
      const data = await json(answer);
      if (!answer.ok) {
        return { problem: data?.problem || `The server could not make this chart (error ${answer.status}); its log says why. Try again in a moment.`, again: true };
      }
      if (!Array.isArray(data?.series)) return { problem: "What the server sent is no chart; a proxy on the way may have changed it. Try again.", again: true };
      return { data };
    } catch (error) {
      if (error.name === "TimeoutError") return { problem: "The server took too long. Choose a shorter time or fewer filters, or try again.", again: true };
      if (error instanceof TypeError) return { problem: "The server cannot be reached. Check your connection, and try again.", again: true };
      throw error;
    }
  }

  async function load(figure) {
    say(figure, "Loading…", { waits: true });
    figure.classList.remove("has-data");
    figure.setAttribute("aria-busy", "true");
    try {
      const { data, problem, ...can } = await ask(figure);
      if (problem) return say(figure, problem, can);
      if (!data.series.length) return say(figure, data.empty);
      say(figure, "");
      drawn.set(figure, data);
      figure.querySelector(".th-note").textContent = data.note || "";
      table(figure, data);
      figure.classList.add("has-data");
      await draw(figure);
    } catch (error) {
      const told = figure.classList.contains("has-data") ? "; its figures are in the table below." : ".";
      say(figure, `Your browser could not draw this chart${told}`, { again: true });
      throw error;
    } finally {
      figure.setAttribute("aria-busy", "false");
    }
  }

  /* Tries once more; who pressed the button, which is gone then, stays at this chart. */
  async function retry(figure) {
    const state = figure.querySelector(".th-state");
    state.tabIndex = -1;
    state.focus();
    await load(figure);
    (figure.querySelector(".th-state:not([hidden]) button") || figure.querySelector("summary")).focus();
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
  for (const figure of document.querySelectorAll("figure[data-chart]")) {
    say(figure, "Loading…", { waits: true });
    seen.observe(figure);
  }
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
