// Key press to grey text in the workbench, as the page itself sees it.

const debounce = 50; // VS Code's own, before it asks a provider

/** Begins to write down { key, shown }, in milliseconds of the wall clock, for every key. */
export async function startStopwatch(page) {
  await page.evaluate(() => {
    const now = () => performance.timeOrigin + performance.now();
    const visible = () => document.querySelector('.monaco-editor [class*="ghost-text-decoration"]');
    window.caretdTimes = [];
    let key;
    addEventListener('keydown', () => { key = now(); }, true);
    new MutationObserver(() => {
      if (key === undefined || !visible()) return;
      const run = { key };
      key = undefined;
      // The next frame is when it is painted.
      requestAnimationFrame(() => window.caretdTimes.push({ ...run, shown: now() }));
    }).observe(document.body, { subtree: true, childList: true, attributes: true });
  });
}

/** For each key that brought grey text from the server: { total, own } in milliseconds. */
export async function readStopwatch(page, recording) {
  const times = await page.evaluate(() => window.caretdTimes);
  const suggestions = recording.suggestions();
  return times.flatMap(({ key, shown }) => {
    const answer = suggestions.find(({ sent, answered }) => sent > key && answered < shown);
    if (!answer) return [];
    const total = shown - key;
    return [{ total, own: total - (answer.answered - answer.sent) - debounce }];
  });
}
