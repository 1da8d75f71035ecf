'use strict';
// Shows the state that is in the page.

(() => {
  const read = id => JSON.parse(document.getElementById(id).textContent);
  const [state, about] = [read('state'), read('settings')];
  state.ended = true;
  // Before the first task nothing ran that is shown.
  const starts = state.strip.tiles.map(([, start]) => start);
  const ends = state.strip.tiles.map(([, start, length]) => start + length);
  if (starts.length) state.span = ends.reduce((one, other) => Math.max(one, other)) - starts.reduce((one, other) => Math.min(one, other));
  const main = document.getElementById('main');
  const strip = new Strip();
  const [figures_, , ...others] = parts(state, 0);
  const pairs = object => Object.entries(object).map(([name, value]) =>
    [name, value !== null && typeof value === 'object' ? JSON.stringify(value) : String(value ?? '')]);
  const ending = el('p', { class: about.state }, about.error ? `${about.state}: ${about.error}` : about.state);
  main.append(section('Job', ending, figures(pairs(about.job), 'figures settings')), figures_, strip.element, ...others);
  for (const [name, object] of Object.entries(about.more)) {
    main.append(section(name, figures(pairs(object), 'figures settings')));
  }
  strip.take(state);
})();
