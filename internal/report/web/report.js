// Shows the rows that stand in this file as JSON: a table that can be searched, filtered and sorted, and how fast they were worked.
// Every text of them comes from elsewhere, so the page is built of elements and text nodes, never of markup.
(() => {
  "use strict";

  const pageRows = 100; // how many rows the document holds at a time
  const printRows = 2000; // how many are printed
  const shownFiles = 4; // a PO with more has them behind a click

  const words = JSON.parse(document.getElementById("words").textContent);
  const rows = [];
  for (const block of document.querySelectorAll("script.rows")) {
    for (const row of JSON.parse(block.textContent)) rows.push(row);
  }

  const $ = (id) => document.getElementById(id);
  const number = (n) => n.toLocaleString("en");
  const succeeded = (row) => ["COMPLETED", "PARTIAL", "NO_ATTACHMENTS"].includes(row.status);

  function element(name, attributes, ...children) {
    const e = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
    e.append(...children);
    return e;
  }

  // The address of an object: a link of its own in a report that is shared, else from this page's place under results/<job>/.
  const links = JSON.parse(document.getElementById("links")?.textContent ?? "{}");
  const address = (key) => links[key] ?? "../../" + key.split("/").map(encodeURIComponent).join("/");

  function link(text, href, attributes) {
    return element("a", { href, target: "_blank", rel: "noopener noreferrer", ...attributes }, text);
  }

  function size(bytes) {
    if (bytes < 1000) return bytes + " B";
    let unit = -1;
    do {
      bytes /= 1000;
      unit++;
    } while (bytes >= 999.5);
    return bytes.toFixed(bytes < 10 ? 1 : 0) + " " + "kMGTPE"[unit] + "B";
  }

  // What is shown, and how.

  const view = { search: "", filter: "", sort: "row", descending: false, page: 0 };
  let found = rows;

  function haystack(row) {
    row.haystack ??= [
      row.po, row.supplier, row.status, row.code, row.message, row.folder, ...(row.files ?? []).map((f) => f.name),
    ].join("\n").toLowerCase();
    return row.haystack;
  }

  // A line that repeats another's PO is in no total, so it is no answer to a total's filter either.
  const filters = {
    status: (row, status) => row.status === status && !row.duplicate,
    code: (row, code) => row.code === code && !row.duplicate,
    is: (row, what) => (what === "missing" ? !succeeded(row) && !row.duplicate : Boolean(row[what])),
  };

  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const text = (of) => (a, b) => collator.compare(of(a), of(b));
  const orders = {
    row: (a, b) => a.row - b.row,
    po: text((row) => row.po),
    status: (a, b) => words.order.indexOf(a.status) - words.order.indexOf(b.status),
    supplier: text((row) => row.supplier ?? ""),
    documents: (a, b) => (a.files?.length ?? 0) - (b.files?.length ?? 0),
    reason: text(reasonOf),
    at: (a, b) => (Date.parse(a.at) || 0) - (Date.parse(b.at) || 0),
  };

  function reasonOf(row) {
    if (row.status === "COMPLETED") return "";
    return row.message || words.reasons[row.code]?.what || words.statuses[row.status] || "";
  }

  function select() {
    const terms = view.search.toLowerCase().split(/\s+/).filter(Boolean);
    const [kind, value] = view.filter.split(/:(.*)/s);
    found = rows.filter((row) => (!kind || filters[kind](row, value)) && terms.every((term) => haystack(row).includes(term)));
    const order = orders[view.sort];
    const direction = view.descending ? -1 : 1;
    found.sort((a, b) => direction * order(a, b) || a.row - b.row);
    view.page = 0;
    show();
  }

  function show() {
    const pages = Math.max(1, Math.ceil(found.length / pageRows));
    const first = view.page * pageRows;
    const last = Math.min(first + pageRows, found.length);
    $("table").tBodies[0].replaceChildren(...found.slice(first, last).map(rowElement));
    $("shown").textContent = found.length === 0 ? "No line matches."
      : `${number(first + 1)}–${number(last)} of ${number(found.length)} lines` + (found.length < rows.length ? `, out of ${number(rows.length)}` : "");
    $("pages").textContent = `Page ${number(view.page + 1)} of ${number(pages)}`;
    $("previous").disabled = view.page === 0;
    $("next").disabled = view.page + 1 >= pages;
    document.querySelector(".pager").hidden = pages === 1;
    for (const button of document.querySelectorAll("button[data-filter]")) {
      button.setAttribute("aria-pressed", button.dataset.filter === view.filter);
    }
    $("filter").value = view.filter;
    for (const button of document.querySelectorAll("button[data-sort]")) {
      const th = button.closest("th");
      if (button.dataset.sort === view.sort) th.setAttribute("aria-sort", view.descending ? "descending" : "ascending");
      else th.removeAttribute("aria-sort");
    }
    $("sort").value = view.sort + (view.descending ? " descending" : "");
  }

  // One row.

  function rowElement(row) {
    const cell = (name, label, ...children) =>
      element("td", { class: name + (children.length ? "" : " none"), "data-label": label }, element("div", {}, ...children));
    return element("tr", { "data-row": row.row },
      cell("row", "Line", String(row.row)),
      cell("po", "PO", numberOf(row), ...tags(row)),
      cell("status", "Outcome", element("span", { class: "pill s-" + row.status }, row.status)),
      cell("supplier", "Supplier", ...(row.supplier ? [row.supplier] : [])),
      cell("documents", "Documents", ...documents(row)),
      cell("reason", "Reason", ...reason(row)),
      cell("at", "Processed", ...(row.at ? [row.at.slice(0, 10), " ", row.at.slice(11, 19)] : [])),
    );
  }

  function numberOf(row) {
    return /^https?:\/\//i.test(row.url ?? "") ? link(row.po, row.url, {}) : row.po || "(empty)";
  }

  function tags(row) {
    const all = [];
    const tag = (name, text) => all.push(" ", element("span", { class: "tag " + name }, text));
    if (row.rejected) tag("rejected", "rejected line");
    if (row.duplicate) tag("duplicate", "repeats line " + row.duplicate);
    if (row.skipped) tag("skipped", "completed before");
    if (row.dlq) tag("dlq", "in the dead-letter queue");
    return all;
  }

  function documents(row) {
    const files = row.files ?? [];
    const all = [];
    if (row.found > files.length) all.push(element("div", {}, `${number(files.length)} of ${number(row.found)}`));
    if (files.length > 0) {
      const list = element("ul", {}, ...files.map((file) => fileElement(row, file)));
      all.push(files.length <= shownFiles ? list : element("details", {}, element("summary", {}, number(files.length) + " documents"), list));
      const place = row.folder?.split("/").slice(2, -1).join("/"); // below the job's folder, above the PO's own
      if (place) all.push(element("div", { class: "folder" }, place));
    }
    return all;
  }

  function fileElement(row, file) {
    const item = element("li", {}, link(file.name, address(file.key ?? row.folder + "/" + file.name), { class: "file" }));
    item.append(" ", element("span", { class: "size" }, size(file.bytes)));
    if (file.requisition) item.append(" ", element("span", { class: "note" }, "from requisition " + file.requisition));
    if (file.note) item.append(" ", element("span", { class: "note" }, file.note));
    return item;
  }

  function reason(row) {
    const all = [];
    const why = reasonOf(row);
    if (why) all.push(why);
    if (row.code) all.push(" ", element("span", { class: "tag code", title: words.reasons[row.code]?.do ?? "" }, row.code));
    if (row.attempt > 1) all.push(" ", element("span", { class: "note" }, `after ${number(row.attempt)} tries`));
    for (const key of row.evidence ?? []) {
      all.push(" ", link(key.endsWith(".png") ? "Screenshot" : "Page as it was", address(key), { class: "evidence" }));
    }
    return all;
  }

  // Throughput: how many POs ended in each stretch of the run.

  const svg = (name, attributes, ...children) => {
    const e = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
    e.append(...children);
    return e;
  };

  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400]; // seconds
  const units = (seconds) => seconds % 86400 === 0 ? [seconds / 86400, "day"]
    : seconds % 3600 === 0 ? [seconds / 3600, "hour"]
    : seconds % 60 === 0 ? [seconds / 60, "minute"] : [seconds, "second"];
  const span = (seconds) => {
    const [n, unit] = units(seconds);
    return n === 1 ? unit : `${number(n)} ${unit}s`;
  };

  function measure() {
    const worked = rows.filter((row) => row.at && !row.duplicate && !row.rejected && !row.skipped);
    if (worked.length < 2) return null;
    let first = Infinity, last = -Infinity;
    for (const row of worked) {
      row.time = Date.parse(row.at) / 1000;
      first = Math.min(first, row.time);
      last = Math.max(last, row.time);
    }
    const step = steps.find((s) => (last - first) / s < 60) ?? Math.ceil((last - first) / 60 / 86400) * 86400;
    const start = Math.floor(first / step) * step;
    const bins = Array.from({ length: Math.floor((last - start) / step) + 1 }, () => ({ good: 0, missing: 0 }));
    for (const row of worked) bins[Math.floor((row.time - start) / step)][succeeded(row) ? "good" : "missing"]++;
    const zone = worked[0].at.match(/([+-])(\d\d):(\d\d)$/); // none for UTC
    const offset = zone ? (zone[1] === "-" ? -60 : 60) * (60 * zone[2] + Number(zone[3])) : 0;
    const clock = (time) => new Date((time + offset) * 1000).toISOString().replace("T", " ").slice(last - first >= 86400 ? 5 : 11, step < 60 ? 19 : 16);
    return { worked, first, last, step, start, bins, clock };
  }

  function draw(run, width = Math.max(280, $("chart").clientWidth)) {
    const { bins, step, start, clock } = run;
    const height = 190;
    const left = 44, right = 8, top = 8, bottom = 24;
    const most = Math.max(...bins.map((bin) => bin.good + bin.missing));
    const raw = most / 4;
    const ten = 10 ** Math.floor(Math.log10(raw));
    const tick = Math.max(1, [1, 2, 5, 10].map((n) => n * ten).find((n) => n >= raw));
    const ceiling = Math.ceil(most / tick) * tick;
    const y = (n) => top + (height - top - bottom) * (1 - n / ceiling);
    const each = (width - left - right) / bins.length;
    const x = (n) => left + n * each;
    const chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-labelledby": "throughput-title chart-words" });
    for (let n = 0; n <= ceiling; n += tick) {
      chart.append(svg("line", { x1: left, x2: width - right, y1: y(n), y2: y(n) }),
        svg("text", { x: left - 6, y: y(n) + 4, "text-anchor": "end" }, number(n)));
    }
    bins.forEach((bin, n) => {
      const all = bin.good + bin.missing;
      if (all === 0) return;
      const bar = (name, from, to) => svg("rect", { class: name, x: x(n) + each * 0.08, width: each * 0.84, y: y(to), height: y(from) - y(to) });
      const title = `${clock(start + n * step)}: ${number(all)} POs` + (bin.missing ? `, ${number(bin.missing)} without documents` : "");
      chart.append(svg("g", {}, svg("title", {}, title), bar("good", 0, bin.good), bar("missing", bin.good, all)));
    });
    const apart = Math.ceil(90 / each); // bars from one time to the next
    for (let n = 0; n < bins.length && x(n) < width - 80; n += apart) {
      chart.append(svg("text", { x: x(n), y: height - 6 }, clock(start + n * step)));
    }
    $("chart").replaceChildren(chart);
  }

  function throughput() {
    const run = measure();
    if (!run) return;
    $("throughput").hidden = false;
    const minutes = Math.max(run.last - run.first, 1) / 60;
    const rate = run.worked.length / minutes;
    $("chart-words").textContent = `POs in every ${span(run.step)}, from ${run.clock(run.first)} to ${run.clock(run.last)}: ` +
      `${number(run.worked.length)} in all, ${rate < 10 ? rate.toFixed(1) : number(Math.round(rate))} a minute on average.` +
      (run.bins.some((bin) => bin.missing) ? " Red: without their documents." : "");
    draw(run);
    // A chart that is merely scaled has letters that nobody can read on a phone, or on paper.
    addEventListener("resize", () => draw(run));
    addEventListener("beforeprint", () => draw(run, 680));
    addEventListener("afterprint", () => draw(run));
  }

  // Controls.

  function setFilter(filter) {
    view.filter = filter;
    select();
  }

  function listen() {
    $("search").addEventListener("input", () => { view.search = $("search").value; select(); });
    $("filter").addEventListener("change", () => setFilter($("filter").value));
    $("sort").addEventListener("change", () => {
      const [column, descending] = $("sort").value.split(" ");
      view.sort = column;
      view.descending = Boolean(descending);
      select();
    });
    for (const button of document.querySelectorAll("button[data-sort]")) {
      const column = button.dataset.sort;
      $("sort").append(element("option", { value: column }, button.textContent), element("option", { value: column + " descending" }, button.textContent + ", descending"));
      button.addEventListener("click", () => {
        view.descending = view.sort === column && !view.descending;
        view.sort = column;
        select();
      });
    }
    for (const button of document.querySelectorAll("button[data-filter]")) {
      button.addEventListener("click", () => {
        setFilter(view.filter === button.dataset.filter ? "" : button.dataset.filter);
        $("pos").scrollIntoView();
      });
    }
    const turn = (by) => () => { view.page += by; show(); $("pos").scrollIntoView(); };
    $("previous").addEventListener("click", turn(-1));
    $("next").addEventListener("click", turn(1));

    // Paper has no pages to turn and nothing to click: what is selected is printed, with all files.
    addEventListener("beforeprint", () => {
      $("table").tBodies[0].replaceChildren(...found.slice(0, printRows).map(rowElement));
      for (const details of document.querySelectorAll("#table details")) details.open = true;
      const what = [view.filter && $("filter").selectedOptions[0].textContent, view.search && `“${view.search}”`].filter(Boolean).join(", ");
      $("shown").textContent = `${what || "All lines"}: ${number(found.length)} of ${number(rows.length)}` +
        (found.length > printRows ? `; the first ${number(printRows)} are here, the filled-in sheet has all` : "");
    });
    addEventListener("afterprint", show);
  }

  if (rows.length > 0) {
    $("pos").hidden = false;
    listen();
    select();
    throughput();
  }
})();
