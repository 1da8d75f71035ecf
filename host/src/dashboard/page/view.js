'use strict';
// What the live page and a report share: how a state becomes a page. Every text that is shown becomes a text node and nothing
// else, whatever a module, a label or a message says.

function el(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  for (const child of children) {
    element.append(child instanceof Node ? child : document.createTextNode(String(child ?? '')));
  }
  return element;
}

function seconds(time) {
  if (time === null || time === undefined) return '';
  if (time < 1e-3) return `${(time * 1e6).toFixed(0)} µs`;
  if (time < 1) return `${(time * 1e3).toFixed(1)} ms`;
  if (time < 120) return `${time.toFixed(2)} s`;
  const minutes = Math.floor(time / 60);
  return minutes < 120 ? `${minutes} min ${Math.floor(time % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function bytes(size) {
  if (size === null || size === undefined) return '';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) { size /= 1024; unit += 1; }
  return `${unit === 0 ? size : size.toFixed(1)} ${units[unit]}`;
}

function count(number) { return Number(number).toLocaleString('en-US'); }

function color(place) {
  // Hues far from each other, and from the red of failures.
  return `hsl(${(200 + place * 137.5) % 300 + 40} 60% 50%)`;
}

class Strip {
  constructor() {
    this.engines = new Map();
    this.functions = [];
    this.end = 1;
    this.first = Infinity;
    this.span = null;
    this.last = null;
    this.canvas = el('canvas', { tabindex: '0', role: 'img', 'aria-label': 'Tasks of each engine over time' });
    this.said = el('p', { class: 'soft', 'aria-live': 'polite' },
      'A row for each engine, time from left to right. Keys: + and - zoom, arrows move, 0 shows all.');
    this.legend = el('ul', { class: 'legend' });
    this.buttons = [['all', null], ['1 min', 60e6], ['10 s', 10e6], ['1 s', 1e6]].map(([name, span]) => {
      const button = el('button', { type: 'button', 'aria-pressed': String(span === null) }, name);
      button.addEventListener('click', () => this.show(span, null));
      return [button, span];
    });
    this.element = el('section', { 'aria-label': 'Tasks' }, el('h2', {}, 'Tasks'),
      el('div', { class: 'controls' }, ...this.buttons.map(([button]) => button)), this.canvas, this.said, this.legend);
    this.canvas.addEventListener('keydown', event => this.key(event));
    this.canvas.addEventListener('pointermove', event => this.point(event));
    addEventListener('resize', () => this.draw());
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.draw());
  }

  show(span, last) {
    this.span = span;
    this.last = last;
    for (const [button, its] of this.buttons) button.setAttribute('aria-pressed', String(its === span && last === null));
    this.draw();
  }

  key(event) {
    const [from, to] = this.range();
    const span = to - from;
    const moves = {
      '+': () => this.show(span / 2, to - span / 4), '-': () => this.show(span * 2, to + span / 2),
      'ArrowLeft': () => this.show(span, to - span / 8), 'ArrowRight': () => this.show(span, to + span / 8),
      '0': () => this.show(null, null), 'Escape': () => this.show(null, null),
    };
    const move = moves[event.key];
    if (move) { event.preventDefault(); move(); }
  }

  range() {
    if (this.span === null) return [Math.min(this.first, this.end - 1), this.end];
    const span = Math.max(this.span, 10);
    const to = Math.max(Math.min(this.last ?? this.end, this.end + span / 2), span);
    return [to - span, to];
  }

  take(state) {
    const strip = state.strip;
    if (strip.whole) this.engines = new Map();
    for (const [engine, start, length, busy, tasks, failed, place] of strip.tiles) {
      if (!this.engines.has(engine)) this.engines.set(engine, []);
      const tiles = this.engines.get(engine);
      const tile = { start, end: start + length, busy, tasks, failed, place };
      const at = tiles.findLastIndex(other => other.start <= start);
      if (at >= 0 && tiles[at].start === start) tiles[at] = tile;
      else tiles.splice(at + 1, 0, tile);
      this.end = Math.max(this.end, tile.end);
      this.first = Math.min(this.first, tile.start);
    }
    this.functions = state.functions;
    if (!state.ended) this.end = Math.max(this.end, state.now);
    const names = this.functions.slice(0, 12).map((name, place) => {
      const swatch = el('span', { class: 'swatch' });
      swatch.style.background = color(place);
      return el('li', {}, swatch, name);
    });
    const swatch = el('span', { class: 'swatch' });
    swatch.style.background = this.red();
    names.push(el('li', {}, swatch, 'with failed tasks'));
    this.legend.replaceChildren(...names);
    this.draw();
  }

  red() { return getComputedStyle(document.documentElement).getPropertyValue('--bad').trim(); }

  draw() {
    const ids = [...this.engines.keys()].sort((one, other) => one - other);
    const row = ids.length > 32 ? Math.max(1, Math.floor(512 / ids.length)) : 16;
    const height = Math.max(ids.length, 1) * row;
    const ratio = devicePixelRatio || 1;
    const width = this.canvas.clientWidth || 600;
    this.canvas.style.height = `${height}px`;
    this.canvas.width = width * ratio;
    this.canvas.height = height * ratio;
    const pen = this.canvas.getContext('2d');
    pen.scale(ratio, ratio);
    const [from, to] = this.range();
    const scale = width / Math.max(to - from, 1);
    const red = this.red();
    this.rows = { ids, row, from, scale };
    ids.forEach((engine, line) => {
      for (const tile of this.engines.get(engine)) {
        if (tile.end < from || tile.start > to) continue;
        const left = (tile.start - from) * scale;
        const wide = Math.max((tile.end - tile.start) * scale, 1);
        pen.globalAlpha = 0.3 + 0.7 * Math.min(1, tile.busy / Math.max(tile.end - tile.start, 1));
        pen.fillStyle = tile.failed ? red : color(tile.place);
        pen.fillRect(left, line * row, wide, Math.max(row - 1, 1));
      }
    });
  }

  point(event) {
    if (!this.rows) return;
    const { ids, row, from, scale } = this.rows;
    const engine = ids[Math.floor(event.offsetY / row)];
    const at = from + event.offsetX / scale;
    const tile = (this.engines.get(engine) || []).find(one => one.start <= at && at <= one.end);
    if (!tile) return;
    const failed = tile.failed ? `, ${count(tile.failed)} failed` : '';
    this.said.textContent = `engine ${engine}, after ${seconds(tile.start / 1e6)}: ${count(tile.tasks)} × `
      + `${this.functions[tile.place] ?? 'other'}${failed}, ${seconds(tile.busy / 1e6)}`;
  }
}

function section(name, ...children) {
  return el('section', { 'aria-label': name }, el('h2', {}, name), ...children);
}

function table(heads, rows) {
  if (rows.length === 0) return el('p', { class: 'soft' }, 'none');
  const cells = (tag, values) => values.map(value => el(tag, tag === 'th' ? { scope: 'col' } : {}, value));
  return el('table', {}, el('thead', {}, el('tr', {}, ...cells('th', heads))),
    el('tbody', {}, ...rows.map(row => el('tr', {}, ...cells('td', row)))));
}

function figures(pairs, kind) {
  return el('dl', { class: kind }, ...pairs.map(([name, value]) => el('div', {}, el('dt', {}, name), el('dd', {}, value))));
}

function bars(name, histogram, shown) {
  const most = Math.max(1, ...histogram.buckets.map(([, number]) => number));
  const lines = histogram.buckets.flatMap(([least, number]) => {
    const bar = el('div', { class: 'bar' });
    bar.style.width = `${100 * number / most}%`;
    return [el('span', {}, `from ${shown(least)}`), bar, el('span', {}, count(number))];
  });
  return section(name, lines.length ? el('div', { class: 'bars' }, ...lines) : el('p', { class: 'soft' }, 'none'));
}

function stateOf(state) { return el('span', { class: state }, state); }

function jobs(state) {
  const rows = state.jobs.slice(0, 30).map(job => {
    const rate = job.elapsed_s > 0 ? job.done / job.elapsed_s : 0;
    const left = job.total && rate > 0 && job.state === 'running' ? seconds((job.total - job.done) / rate) : '';
    const name = `${job.kind} ${job.name}${job.label ? ` (${job.label})` : ''}`;
    const attributes = { 'aria-label': `progress of ${name}` };
    const part = job.total ? job.done / job.total : job.bytes_total ? job.bytes_done / job.bytes_total : null;
    if (part !== null) Object.assign(attributes, { max: '1', value: String(Math.min(part, 1)) });
    const progress = job.state === 'running' ? el('progress', attributes) : stateOf(job.state);
    const failed = job.failed ? el('span', { class: 'failed' }, count(job.failed)) : '0';
    return [name, job.module, progress, job.total ? `${count(job.done)} of ${count(job.total)}` : count(job.done),
      `${count(Math.round(rate))}/s`, left, failed, seconds(job.elapsed_s), job.tenant ?? ''];
  });
  const list = table(['job', 'module', 'progress', 'tasks', 'rate', 'left', 'failed', 'time', 'tenant'], rows);
  const calls = state.calls.submitted
    ? [el('p', {}, `${count(state.calls.submitted)} calls, ${count(state.calls.ended)} ended, ${count(state.calls.failed)} failed`)] : [];
  return section('Jobs', list, ...calls);
}

function engines(state) {
  const most = 200;
  const time = Math.max((state.span ?? state.now) / 1e6, 1e-9);
  const rows = state.engines.slice(0, most).map(engine => [
    String(engine.engine), engine.state || (state.ended ? '' : 'present'), count(engine.tasks),
    engine.failed ? el('span', { class: 'failed' }, count(engine.failed)) : '0',
    `${Math.min(100, 100 * engine.busy_s / time).toFixed(0)} %`, bytes(engine.peak_memory),
    state.functions[engine.function] ?? '', engine.losses ? count(engine.losses) : '']);
  const more = state.engines.length > most ? [el('p', { class: 'soft' }, `and ${state.engines.length - most} more`)] : [];
  return section('Engines', table(['engine', 'state', 'tasks', 'failed', 'busy', 'peak memory', 'last function', 'losses'], rows), ...more);
}

function slowest(state) {
  return section('Slowest tasks', table(['task', 'function', 'engine', 'run time', 'memory', 'after'],
    state.slowest.map(task => [String(task.task), task.function, String(task.engine ?? ''), seconds(task.run_time_s),
      bytes(task.peak_memory), seconds(task.at / 1e6)])));
}

function failures(state) {
  const rows = state.failures.slice(0, 50).map(task => {
    const said = [el('pre', {}, task.message)];
    if (task.backtrace) said.push(el('details', {}, el('summary', {}, 'backtrace'), el('pre', {}, task.backtrace)));
    return [String(task.task), task.function, String(task.engine ?? ''), el('span', { class: 'failed' }, task.code), el('div', {}, ...said)];
  });
  const codes = Object.entries(state.codes).map(([code, number]) => `${code}: ${count(number)}`).join(', ');
  return section('Latest failures', ...(codes ? [el('p', {}, codes)] : []), table(['task', 'function', 'engine', 'code', 'message'], rows));
}

function events(state) {
  return section('Events', table(['after', 'engine', 'what', 'why'],
    state.events.map(event => [seconds(event.at / 1e6), String(event.engine ?? ''), event.what, event.reason ?? ''])));
}

function summary(state, rate) {
  const all = state.figures;
  const pairs = [['tasks ended', count(all.tasks)], ['failed', count(all.failed)], ['serial time', seconds(all.serial_time_s)],
    ['input', bytes(all.bytes_in)], ['results', bytes(all.bytes_out)], ['merges', count(all.merges)]];
  if (!state.ended) {
    pairs.splice(1, 0, ['rate', `${count(Math.round(rate))}/s`], ['tasks waiting', count(all.waiting)], ['tasks running', count(all.running)]);
  }
  return el('section', { 'aria-label': 'Figures' }, figures(pairs, 'figures'));
}

// The parts that change, beside the strip, which keeps what it knows. What somebody reads stays where it is.
function parts(state, rate) {
  const shown = [summary(state, rate), jobs(state), engines(state),
    el('div', { class: 'two' }, bars('Run time', state.run_times, time => seconds(time / 1e9)), bars('Memory', state.memory, bytes)),
    slowest(state), failures(state)];
  if (state.events.length) shown.push(events(state));
  return shown;
}
