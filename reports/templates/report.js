// Sorting, filters, single prompts, downloads. Without this script the verdicts, plots and examples read as they are.
(() => {
  "use strict";
  const SVG = "http://www.w3.org/2000/svg";
  const byId = (id) => document.getElementById(id);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Every text from data enters the page here, as a text node or an attribute that means nothing but itself.
  const make = (name, attributes = {}, ...children) => {
    const element = SHAPES.has(name) ? document.createElementNS(SVG, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (typeof value === "function") element.addEventListener(key, value);
      else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
    }
    element.append(...children.flat().filter((c) => c !== null && c !== undefined));
    return element;
  };
  const SHAPES = new Set(["svg", "circle", "line", "rect", "g", "text"]);

  // What lies deflated in the page is unpacked once, when it is asked for.
  const unpacked = new Map();
  const DIGITS = new Uint8Array(128);
  [..."0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%,()*+-;.=/?@^_`{|}~"].forEach((c, i) => { DIGITS[c.charCodeAt(0)] = i; });
  // Base 85: five characters are four bytes; a last group that is cut short is filled up with the highest digit.
  const decode = (text) => {
    const missing = (5 - (text.length % 5)) % 5;
    const bytes = new Uint8Array(((text.length + missing) / 5) * 4);
    for (let from = 0, to = 0; from < text.length; from += 5, to += 4) {
      let value = 0;
      for (let k = from; k < from + 5; k += 1) value = value * 85 + (k < text.length ? DIGITS[text.charCodeAt(k)] : 84);
      bytes[to] = value / 16777216; bytes[to + 1] = value / 65536; bytes[to + 2] = value / 256; bytes[to + 3] = value;
    }
    return bytes.subarray(0, bytes.length - missing);
  };
  const unpack = (id) => {
    if (!unpacked.has(id)) {
      unpacked.set(id, (async () => {
        const bytes = decode(byId(id).content.textContent.trim());
        const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
        return JSON.parse(await new Response(stream).text());
      })());
    }
    return unpacked.get(id);
  };

  for (const element of all(".scripted")) element.hidden = false;

  // Sorting.
  const compare = (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    const x = Number(a), y = Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };
  const key = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.v ?? cell.textContent.trim();
  };
  const sort = (table) => {
    const heads = [...table.tHead.rows[0].cells];
    const column = heads.findIndex((head) => head.hasAttribute("aria-sort"));
    if (column < 0) return;
    const up = heads[column].getAttribute("aria-sort") === "ascending";
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [key(row, column), row]);
    // What has no value stays last either way.
    rows.sort(([a], [b]) => (a === "" || b === "" || up ? compare(a, b) : compare(b, a)));
    body.append(...rows.map(([, row]) => row));
    table.dispatchEvent(new Event("sorted"));
  };
  for (const table of all("table[data-sortable]")) {
    const heads = [...table.tHead.rows[0].cells];
    for (const head of heads) {
      if ("fixed" in head.dataset) continue;
      const button = make("button", { type: "button" });
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        sort(table);
      });
    }
  }

  // Rows of a table that are shown at once: a browser lays out so many at the blink of an eye.
  const LIMIT = 250;

  // Filters. The rows of other conditions come out of their pack when a condition is first chosen.
  const measureRow = (m) => {
    const [condition, effective, anchor, name, pre, post, shift, interval, p, verdict, slug, facet, unit, higher, said, keys] = m;
    const number = (text, v) => make("td", { class: "n", "data-v": v }, text);
    return make("tr", { "data-group": condition, class: effective ? "effective" : null },
      make("th", { scope: "row" }, anchor ? make("a", { class: "term", href: `#${anchor}` }, name) : name),
      number(pre, keys[0]), number(post, keys[1]), number(shift, keys[2]), make("td", { class: "n" }, interval), number(p, keys[3]),
      make("td", {}, make("span", { class: slug ? `word ${slug}` : "none" }, verdict)),
      ...[facet, unit, higher, said].map((text) => make("td", {}, text)));
  };
  for (const filters of all(".filters[data-table]")) {
    const table = byId(filters.dataset.table);
    const search = filters.querySelector("input");
    const group = filters.querySelector("select[data-pack]");
    const columns = all("select[data-column]", filters);
    const found = filters.querySelector(".found");
    const known = new Map();
    let limit = LIMIT, loaded = false;
    const whole = make("button", { type: "button", class: "more", click: () => { limit = Infinity; apply(); } }, "Show all");
    found.after(whole);
    const apply = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const rows = table.tBodies[0].rows;
      let count = 0;
      for (const row of rows) {
        if (!known.has(row)) known.set(row, [row.textContent.toLowerCase(), columns.map((c) => row.cells[c.dataset.column].textContent.trim())]);
        const [text, cells] = known.get(row);
        const fits = (!group?.value || row.dataset.group === group.value) && words.every((w) => text.includes(w))
          && columns.every((c, i) => !c.value || cells[i] === c.value);
        count += fits;
        const shown = fits && count <= limit;
        if (row.hidden === shown) row.hidden = !shown;
      }
      const cut = count > limit;
      whole.hidden = !cut;
      found.textContent = cut ? `${count} of ${rows.length} found, the first ${limit} shown` : count === rows.length ? "" : `${count} of ${rows.length} shown`;
    };
    table.addEventListener("sorted", apply);
    search.addEventListener("input", apply);
    for (const column of columns) column.addEventListener("change", apply);
    group?.addEventListener("change", async () => {
      if (!loaded && group.value !== "all") {
        loaded = true;
        const more = await unpack(`pack-${group.dataset.pack}`);
        table.tBodies[0].append(...more.map(measureRow));
        sort(table);
      }
      apply();
    });
    filters.hidden = false;
    if (table.tBodies[0].rows.length > limit) apply();
    else whole.hidden = true;
  }

  // One domain at a time.
  byId("domain")?.addEventListener("change", (event) => {
    for (const part of all("[data-domain]")) part.hidden = Boolean(event.target.value) && part.dataset.domain !== event.target.value;
  });

  // Definitions, by pointer and by keyboard; Escape closes one without moving away.
  const tip = byId("tip");
  let described = null;
  const describe = (term) => {
    if (term === described) return;
    described = term;
    tip.hidden = !term;
    if (term) {
      const entry = byId(term.hash.slice(1));
      term.setAttribute("aria-describedby", "tip");
      tip.replaceChildren(make("b", {}, term.textContent), ` ${entry?.textContent ?? ""}`);
    }
  };
  const termOf = (event) => event.target.closest?.(".term") ?? null;
  for (const type of ["pointerover", "focusin"]) document.addEventListener(type, (event) => describe(termOf(event)));
  document.addEventListener("focusout", () => describe(null));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { described = null; tip.hidden = true; }
  });
  document.addEventListener("click", (event) => {
    if (termOf(event)) byId("definitions").open = true;
  });

  // Signatures of everything, written when they are opened.
  byId("all-signatures")?.addEventListener("toggle", async (event) => {
    const list = event.target.querySelector("dl");
    if (list.childElementCount) return;
    const { shift } = await unpack("pack-data");
    const at = (name) => shift.columns.indexOf(name);
    const names = ["domain", "metric", "condition"].map(at);
    list.append(...shift.rows.flatMap((row) => [
      make("dt", {}, names.map((i) => row[i]).join(", ")), make("dd", {}, make("code", {}, row[at("signature")] ?? ""))]));
  });

  // Downloads: the data behind a figure as CSV and JSON, the figure as SVG and PNG.
  const save = (blob, name) => {
    const link = make("a", { href: URL.createObjectURL(blob), download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const records = async (what, of) => {
    const data = await unpack("pack-data");
    const name = data.names[of];
    const own = (list) => list.filter((record) => !name || record.domain === name);
    const table = ({ columns, rows }) => rows.map((row) => Object.fromEntries(columns.map((c, i) => [c, row[i]])));
    if (what === "verdicts") return own(table(data.verdicts));
    if (what === "shift") return own(table(data.shift));
    if (what === "guards") return own(table(data.shift)).filter((row) => row.facet === "guard" && row.condition === "all");
    if (what === "frontier") return own(data.frontier);
    return own(data.prompts).map(({ values, ...rest }) => ({ ...rest, ...Object.fromEntries(Object.entries(values)
      .flatMap(([metric, sides]) => ["pre", "post"].map((side) => [`${metric}.${side}`, sides[side]]))) }));
  };
  const csv = (rows) => {
    const columns = [...new Set(rows.flatMap(Object.keys))];
    const cell = (value) => {
      if (value === null || value === undefined) return "";
      if (typeof value === "number" || typeof value === "boolean") return String(value);
      const text = Array.isArray(value) ? value.join(" ") : typeof value === "object" ? JSON.stringify(value) : value;
      // A spreadsheet would read such a text as a formula.
      return `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
    };
    return [columns.map(cell), ...rows.map((row) => columns.map((c) => cell(row[c])))].map((line) => line.join(",")).join("\r\n") + "\r\n";
  };
  const LOOK = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-size", "font-weight", "font-family", "paint-order", "transform"];
  const drawn = (figure) => {
    let height = 0, width = 0;
    const parts = all("svg[role=img]", figure).map((picture) => {
      const box = picture.getBoundingClientRect();
      const copy = picture.cloneNode(true);
      const originals = [picture, ...all("*", picture)], copies = [copy, ...all("*", copy)];
      originals.forEach((element, i) => {
        const style = getComputedStyle(element);
        if (style.display === "none") { copies[i].setAttribute("display", "none"); return; }
        for (const property of LOOK) {
          const value = style.getPropertyValue(property);
          if (value && value !== "none" || property === "fill" || property === "stroke") copies[i].setAttribute(property, value);
        }
      });
      for (const [name, value] of [["x", 0], ["y", height], ["width", box.width], ["height", box.height]]) copy.setAttribute(name, value);
      height += box.height;
      width = Math.max(width, box.width);
      return copy;
    });
    const paper = getComputedStyle(document.body).backgroundColor;
    const whole = make("svg", { xmlns: SVG, width, height, viewBox: `0 0 ${width} ${height}` }, make("rect", { width: "100%", height: "100%", fill: paper }), parts);
    return new XMLSerializer().serializeToString(whole);
  };
  const picture = async (element) => element.dataset.figure ? unpack(`figure-${element.dataset.figure}`) : drawn(element);
  const png = async (text) => {
    const url = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
    const image = new Image();
    await new Promise((done, failed) => { image.onload = done; image.onerror = failed; image.src = url; });
    const canvas = make("canvas", { width: image.width * 2, height: image.height * 2 });
    const context = canvas.getContext("2d");
    context.scale(2, 2);
    context.drawImage(image, 0, 0);
    URL.revokeObjectURL(url);
    return new Promise((done) => canvas.toBlob(done, "image/png"));
  };
  for (const element of all("[data-csv]")) {
    const { csv: what, of = "" } = element.dataset;
    const name = ["diversity", what, of].filter(Boolean).join("-");
    const button = (label, act) => make("button", { type: "button", click: act }, label);
    const buttons = [
      button("CSV", async () => save(new Blob([csv(await records(what, of))], { type: "text/csv" }), `${name}.csv`)),
      button("JSON", async () => save(new Blob([JSON.stringify(await records(what, of), null, 1)], { type: "application/json" }), `${name}.json`)),
    ];
    if (element.tagName === "FIGURE" || element.dataset.figure) {
      buttons.push(
        button("SVG", async () => save(new Blob([await picture(element)], { type: "image/svg+xml" }), `${name}.svg`)),
        button("PNG", async () => save(await png(await picture(element)), `${name}.png`)));
    }
    const tools = make("details", { class: "tools" }, make("summary", {}, "Download"), make("div", {}, buttons));
    if (element.tagName === "FIGURE") element.append(tools);
    else (element.closest(".scroll") ?? element).after(tools);
  }
  for (const [id, label] of [["methods-text", "Copy the text"], ["bibtex", "Copy the BibTeX"]]) {
    const source = byId(id);
    source?.before(make("button", { type: "button", class: "copy", click: async (event) => {
      getSelection().selectAllChildren(source);
      // A file that is opened from a disk may not be allowed to write: then the text stands selected.
      try { await navigator.clipboard.writeText(source.innerText); event.target.textContent = "Copied"; } catch { event.target.textContent = "Selected: copy with the keyboard"; }
    } }, label));
  }

  // Single prompts.
  const place = byId("prompt");
  const WORDS = { lexical: "wording", syntactic: "form", semantic: "meaning", functional: "behaviour" };
  const chosen = { group: null, tree: false, fold: true, marks: true, query: "" };
  let index = [], current = 0;

  const escaped = (text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
  const spaced = (phrase) => {
    const inner = phrase.split(" ").map(escaped).join("\\s*");
    return `(?<![\\p{L}\\p{N}_])${inner}(?![\\p{L}\\p{N}_])`;
  };
  // One expression for all that is to be marked; the longest phrase wins.
  const marker = (phrases, query) => {
    const parts = phrases.map(spaced).sort((a, b) => b.length - a.length);
    if (query) parts.unshift(escaped(query));
    return parts.length ? new RegExp(parts.join("|"), "giu") : null;
  };
  const marked = (text, expression) => {
    if (!expression) return [text];
    const pieces = [];
    let from = 0;
    for (const match of text.matchAll(expression)) {
      if (!match[0]) continue;
      pieces.push(text.slice(from, match.index), make("mark", {}, match[0]));
      from = match.index + match[0].length;
    }
    return [...pieces, text.slice(from)];
  };

  const draw = async (number) => {
    const entry = await unpack(`prompt-${number}`);
    const [, domain, id, , facets] = index[number - 1];
    const outputs = [...entry.pre, ...entry.post];
    const sideOf = (i) => (i < entry.pre.length ? "pre" : "post");
    const name = (i) => `${sideOf(i)} #${(i < entry.pre.length ? i : i - entry.pre.length) + 1}`;
    const ways = [...Object.keys(WORDS), ...Object.keys(entry.groups).filter((way) => !(way in WORDS))].filter((way) => entry.groups[way]);
    if (entry.form_of) ways.push("tree");
    const group = ways.includes(chosen.group) ? chosen.group : ways.includes("semantic") ? "semantic" : ways[0] ?? null;
    const hasTrees = Boolean(entry.forms?.length);
    const tree = chosen.tree && hasTrees;
    const phrases = chosen.marks && !tree ? [...entry.openings, ...entry.phrases].map(([text]) => text) : [];
    const expression = marker(phrases, chosen.query);
    const repeats = new Map();
    entry.repeats.forEach((of, i) => { if (of !== null && chosen.fold) repeats.set(of, [...(repeats.get(of) ?? []), i]); });

    const text = (i) => {
      const code = hasTrees || tree;
      const form = tree ? entry.form_of[i] : null;
      if (tree && form === null) return make("p", { class: "empty" }, "does not parse");
      const shown = tree ? entry.forms[form] : outputs[i];
      if (!shown.trim()) return make("p", { class: "empty" }, "empty output");
      const body = make("div", { class: "text", dir: tree ? "ltr" : "auto" }, marked(shown.replace(/^\n+/, ""), expression));
      if (shown.length < 900 && shown.split("\n").length < 26) return make("div", { class: code ? "code" : null }, body);
      body.classList.add("long");
      const more = make("button", { type: "button", class: "more", "aria-expanded": "false", click: () => {
        const open = !body.classList.toggle("long");
        more.setAttribute("aria-expanded", String(open));
        more.textContent = open ? "Fold it again" : `Read all ${shown.length.toLocaleString("en")} characters`;
      } }, `Read all ${shown.length.toLocaleString("en")} characters`);
      return make("div", { class: code ? "code" : null }, body, more);
    };
    const output = (i) => {
      const folded = repeats.get(i) ?? [];
      const did = entry.behaviours?.[i];
      return make("li", { class: "output", id: `o-${i}`, tabindex: "-1" },
        make("p", { class: "index" }, name(i), did ? ` · ${did}` : null,
          folded.length ? make("span", { class: "count" }, `×${folded.length + 1} nearly equal`) : null),
        text(i),
        folded.length ? make("details", { class: "rest" }, make("summary", {}, `${folded.length} near repeat${folded.length > 1 ? "s" : ""}`),
          make("ol", {}, folded.map((j) => make("li", { class: "output", id: `o-${j}`, tabindex: "-1" }, make("p", { class: "index" }, name(j)), text(j))))) : null);
    };

    // Groups, the largest first; what is alone or was left out comes last.
    const labels = group === "tree" ? entry.form_of : group ? entry.groups[group] : outputs.map(() => 0);
    const members = new Map();
    labels.forEach((label, i) => members.set(label, [...(members.get(label) ?? []), i]));
    const groups = [], alone = [], left = members.get(null) ?? [];
    members.delete(null);
    for (const own of members.values()) (own.length > 1 ? groups : alone).push(own);
    groups.sort((a, b) => b.length - a.length);
    const lone = alone.flat().sort((a, b) => a - b);
    const titled = [...groups.map((own, i) => [`Group ${i + 1}`, own])];
    if (lone.length) titled.push([groups.length ? "Alone, like no other" : "All alone, none like another", lone]);
    if (left.length) titled.push([group === "syntactic" || group === "tree" ? "Left out: does not parse" : "Left out: nothing to compare", left]);
    const count = (own, side) => own.filter((i) => sideOf(i) === side).length;
    const hidden = new Set([...repeats.values()].flat());
    const parts = titled.map(([title, own]) => make("section", { class: "group" },
      make("h3", {}, group ? title : "All outputs", make("span", { class: "stage" }, ` pre ${count(own, "pre")} · post ${count(own, "post")}`)),
      make("div", { class: "pair" }, ["pre", "post"].map((side) => {
        const ours = own.filter((i) => sideOf(i) === side && !hidden.has(i));
        return make("div", { class: `side ${side}` }, ours.length ? make("ol", { "aria-label": `${title}, ${side}` }, ours.map(output)) : make("p", { class: "empty" }, `none ${side === "pre" ? "before" : "after"}`));
      }))));

    const radio = (value, label, isOn, act, group_) => make("label", {}, make("input", { type: "radio", name: group_, value, checked: isOn, change: act }), label);
    const check = (label, isOn, act) => make("label", {}, make("input", { type: "checkbox", name: label, checked: isOn, change: act }), label);
    // Drawing again replaces the control that asked for it: the focus goes to its successor.
    const redraw = (change) => (event) => {
      const { name: own, value } = event.target;
      change();
      draw(number).then(() => all("input", place).find((e) => e.name === own && e.value === value)?.focus());
    };
    const controls = make("div", { class: "controls" },
      ways.length ? make("fieldset", {}, make("legend", {}, "Group by"),
        ways.map((way) => radio(way, way === "tree" ? "same tree" : WORDS[way] ?? way, way === group, redraw(() => { chosen.group = way; }), "way"))) : null,
      hasTrees ? make("fieldset", {}, make("legend", {}, "Show"),
        radio("text", "as written", !tree, redraw(() => { chosen.tree = false; }), "as"), radio("tree", "normalised tree", tree, redraw(() => { chosen.tree = true; }), "as")) : null,
      make("fieldset", {}, make("legend", {}, "And"),
        check("fold near repeats", chosen.fold, redraw(() => { chosen.fold = !chosen.fold; })),
        check("mark what they share", chosen.marks, redraw(() => { chosen.marks = !chosen.marks; }))));

    const shared = (title, list) => list.length ? make("div", { class: "shared" }, make("h3", {}, title),
      make("table", { class: "data" }, make("caption", { class: "unseen" }, title),
        make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Words"), make("th", { scope: "col", class: "n" }, "Pre"), make("th", { scope: "col", class: "n" }, "Post"))),
        make("tbody", {}, list.map(([words, pre, post]) => make("tr", {}, make("th", { scope: "row" }, make("bdi", {}, words)), make("td", { class: "n" }, String(pre)), make("td", { class: "n" }, String(post))))))) : null;

    place.replaceChildren(
      make("nav", { class: "steps", "aria-label": "Prompts" },
        make("a", { href: "#where" }, "← Back to the report"),
        number > 1 ? make("a", { href: `#prompt-${number - 1}` }, "Previous prompt") : null,
        number < index.length ? make("a", { href: `#prompt-${number + 1}` }, "Next prompt") : null,
        make("span", { class: "stage" }, `${number} of ${index.length}`)),
      make("h2", { id: "prompt-title", tabindex: "-1" }, make("bdi", {}, entry.prompt || id)),
      make("p", { class: "note" }, `${domain} · ${id}`, facets.map(([word, a, b]) => ` · ${word} ${a} → ${b}`), " · effective numbers within prompt"),
      controls,
      make("div", { class: "findings" },
        map(entry, outputs, name, sideOf),
        make("div", {}, shared("Openings they share", entry.openings), shared("Phrases they share", entry.phrases),
          entry.openings.length + entry.phrases.length ? null : make("p", { class: "note" }, "No opening and no phrase is shared by several outputs."))),
      ...parts);
  };

  const map = (entry, outputs, name, sideOf) => {
    if (!entry.map) return null;
    const caption = make("p", { class: "note peek" }, "Point at a dot to read the beginning of its output.");
    const beginning = (i) => `${name(i)}: ${outputs[i].trim().slice(0, 160)}`;
    const show = (i) => () => { caption.textContent = beginning(i); };
    const dots = entry.map.map((at, i) => at && make("circle", { cx: String(150 + 0.135 * at[0]), cy: String(150 - 0.135 * at[1]), r: "5.5", class: `spot ${sideOf(i)}`,
      tabindex: "0", role: "button", "aria-label": beginning(i), pointerenter: show(i), focus: show(i),
      click: () => reach(i), keydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); reach(i); } } }));
    const reach = (i) => {
      const output = byId(`o-${i}`);
      const folded = output?.closest("details");
      if (folded) folded.open = true;
      output?.focus();
    };
    // Post on top would hide pre where both lie: the open circles are drawn last.
    dots.sort((a, b) => (b?.classList.contains("post") ?? 0) - (a?.classList.contains("post") ?? 0));
    return make("figure", { class: "map" }, make("figcaption", {}, "Meaning, as a map"),
      make("svg", { viewBox: "0 0 300 300", role: "group", "aria-label": "Outputs by their meaning: near ones are alike", class: "plot" },
        make("rect", { x: "0.5", y: "0.5", width: "299", height: "299", class: "frame" }), dots),
      caption, make("p", { class: "note" }, make("span", { class: "key pre" }), "pre ", make("span", { class: "key dark" }), `post. First two principal components of the embeddings; they show ${Math.round(100 * entry.map_share)} % of the variance.`));
  };

  const route = async (event) => {
    const found = /^#prompt-(\d+)$/.exec(location.hash);
    const number = found ? Number(found[1]) : 0;
    const open = number >= 1 && number <= index.length;
    document.body.classList.toggle("drilling", open);
    place.hidden = !open;
    if (!open) {
      if (current) { current = 0; place.replaceChildren(); }
      // Parts of the page take their true height when they first come near: the way there is measured again.
      const settle = (times) => { byId(location.hash.slice(1))?.scrollIntoView(); if (times) requestAnimationFrame(() => settle(times - 1)); };
      if (event && location.hash.length > 1) settle(3);
      return;
    }
    current = number;
    await draw(number);
    if (current === number) { scrollTo(0, place.offsetTop); byId("prompt-title").focus({ preventScroll: true }); }
  };

  // Search over prompts and outputs: everything is unpacked at the first letter, and kept.
  const searching = () => {
    const input = byId("find"), status = byId("find-status"), list = byId("found");
    if (!input) return;
    let texts = null;
    const load = () => {
      texts ??= (async () => {
        const held = [];
        for (let n = 1; n <= index.length; n += 1) {
          const entry = await unpack(`prompt-${n}`);
          const low = (own) => own.map((text) => text.toLowerCase());
          held.push([entry, (entry.prompt || "").toLowerCase(), low(entry.pre), low(entry.post)]);
          if (n % 50 === 0) { status.textContent = `reading ${n} of ${index.length} prompts`; await new Promise((done) => setTimeout(done)); }
        }
        return held;
      })();
      return texts;
    };
    const look = async () => {
      const query = input.value.trim().toLowerCase();
      chosen.query = query.length > 1 ? input.value.trim() : "";
      if (query.length < 2) { list.replaceChildren(); status.textContent = ""; return; }
      const held = await load();
      if (input.value.trim().toLowerCase() !== query) return;
      const hits = [];
      let outputs = 0, since = performance.now();
      for (const [i, [entry, prompt, pre, post]] of held.entries()) {
        const a = pre.filter((text) => text.includes(query)).length, b = post.filter((text) => text.includes(query)).length;
        if (a + b || prompt.includes(query)) hits.push([i, a, b, entry]);
        outputs += a + b;
        // A long search lets go now and then, for the next letter.
        if (performance.now() - since > 40) {
          status.textContent = `searched ${i + 1} of ${held.length} prompts`;
          await new Promise((done) => setTimeout(done));
          if (input.value.trim().toLowerCase() !== query) return;
          since = performance.now();
        }
      }
      status.textContent = `${hits.length} prompt${hits.length === 1 ? "" : "s"}, ${outputs} output${outputs === 1 ? "" : "s"}`;
      hits.sort((x, y) => Math.abs(y[1] - y[2]) - Math.abs(x[1] - x[2]) || x[0] - y[0]);
      list.replaceChildren(...hits.slice(0, 40).map(([i, a, b]) => make("li", {}, make("a", { href: `#prompt-${i + 1}` }, make("bdi", {}, index[i][3])), make("span", { class: "note" }, ` ${index[i][1]} · pre ${a} · post ${b}`))),
        ...(hits.length > 40 ? [make("li", { class: "note" }, `and ${hits.length - 40} more`)] : []));
    };
    input.addEventListener("input", look);
  };

  (async () => {
    const packed = byId("pack-index").content.textContent.trim();
    index = packed ? await unpack("pack-index") : [];
    for (const link of all("a[data-prompt]")) link.href = `#prompt-${link.dataset.prompt}`;
    searching();
    addEventListener("hashchange", route);
    document.body.dataset.ready = "";
    route();
  })();
})();
