'use strict';
// Asks the program what has changed, twice a second while the page is looked at, and shows it.

(() => {
  const main = document.getElementById('main');
  const about = document.getElementById('about');
  const token = new URLSearchParams(location.search).get('token') ?? sessionStorage.getItem('token') ?? '';
  sessionStorage.setItem('token', token);
  const strip = new Strip();
  const before = el('div', {});
  const after = el('div', {});
  main.append(before, strip.element, after);
  let seen = [-1, 0];
  let last = null;
  let rate = 0;

  // A backtrace that somebody opened stays open.
  const isRead = () => after.contains(document.activeElement) || after.querySelector('details[open]') !== null
    || !(getSelection()?.isCollapsed ?? true);

  async function look() {
    try {
      const query = `generation=${seen[0]}&change=${seen[1]}`;
      const answer = await fetch(`/api/state?${query}`, { headers: { authorization: `Bearer ${token}` }, cache: 'no-store' });
      if (!answer.ok) throw new Error(answer.status === 401 ? 'this address has no valid token: use the one that the program printed' : `status ${answer.status}`);
      const state = await answer.json();
      seen = [state.strip.generation, state.strip.change];
      if (last && state.now > last.now) {
        const now = (state.figures.tasks - last.figures.tasks) / ((state.now - last.now) / 1e6);
        rate = rate === 0 ? now : 0.7 * rate + 0.3 * now;
      }
      last = state;
      strip.take(state);
      const [figures, ...others] = parts(state, rate);
      before.replaceChildren(figures);
      if (!isRead()) after.replaceChildren(...others);
      about.textContent = `version ${state.version}, up for ${seconds(state.now / 1e6)}`;
      about.className = '';
      setTimeout(look, document.hidden ? 2000 : 500);
    } catch (error) {
      about.textContent = `the program does not answer (${error.message}); what is shown is from before`;
      about.className = 'failed';
      setTimeout(look, 2000);
    }
  }
  look();
})();
