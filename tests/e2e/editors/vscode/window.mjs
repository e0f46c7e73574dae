// One window of the workbench: what a user does in it, and what there is to see.
import { setTimeout as sleep } from 'node:timers/promises';

import { waitFor } from '../helpers.mjs';

const quickInput = '.quick-input-widget .quick-input-box input';

export class Window {
  constructor(page) {
    this.page = page;
    this.keyboard = page.keyboard;
  }

  async focusEditor() {
    await this.page.locator('.monaco-editor .view-lines').first().click();
    await this.page.locator('.monaco-editor.focused').first().waitFor();
  }

  /**
   * Opens the box that a key opens, fills it and waits for the row in front to be like `row`; once more
   * where something else takes the focus meanwhile, which closes the box.
   */
  async fillQuickInput(key, text, row) {
    const box = this.page.locator(quickInput);
    const front = this.page.locator('.quick-input-list .monaco-list-row.focused', { hasText: row });
    await waitFor(`the box of ${key}`, async () => {
      await this.keyboard.press(key);
      try {
        await box.fill(text, { timeout: 10000 });
        await front.waitFor({ timeout: 10000 });
        return true;
      } catch (error) {
        if (error.name !== 'TimeoutError') throw error;
        return false;
      }
    });
  }

  /** Runs a command by its title through the command palette. */
  async command(title) {
    await this.fillQuickInput('F1', `>${title}`, title);
    await this.keyboard.press('Enter');
  }

  /** Brings another file of the workspace to the front. */
  async openFile(name) {
    await this.page.locator('.explorer-folders-view .monaco-list-row', { hasText: name }).dblclick();
    await this.page.locator(`.monaco-editor[data-uri$="/${name}"]`).waitFor();
    await this.focusEditor();
  }

  async goTo(line, column) {
    await this.fillQuickInput('Control+g', `:${line}:${column}`, /go to line/i);
    await this.keyboard.press('Enter');
    await this.page.locator(quickInput).waitFor({ state: 'hidden' });
    await this.page.locator('.monaco-editor.focused').first().waitFor();
    await this.page.locator('.statusbar-item', { hasText: `Ln ${line}, ` }).waitFor();
  }

  /** Lines of grey text on the screen, from the DOM; undefined when there is none. */
  async ghost() {
    // One look at the page: two would see the states before and after a drawing. What was typed is
    // drawn with the next frame.
    const lines = await this.page.evaluate(async () => {
      await new Promise((drawn) => { requestAnimationFrame(() => requestAnimationFrame(drawn)); });
      const texts = (selector) =>
        [...document.querySelectorAll(selector)].map(({ textContent }) => textContent.replace(/\u00a0/g, ' '));
      return [
        texts('.monaco-editor [class*="ghost-text-decoration"]').join(''),
        ...texts('.monaco-editor .suggest-preview-text .ghost-text'),
      ];
    });
    return lines.some((line) => line !== '') ? lines : undefined;
  }

  /**
   * Waits for grey text, if given like `wanted`, that stays as it is: VS Code draws what follows the
   * cursor and the lines below in frames of their own.
   */
  waitForGhost(wanted = () => true) {
    let before;
    return waitFor('grey text', async () => {
      const now = await this.ghost();
      const same = now !== undefined && JSON.stringify(now) === JSON.stringify(before);
      before = now;
      if (!same) await sleep(100);
      return same && wanted(now) && now;
    }, undefined, () => before);
  }

  waitForNoGhost() {
    return waitFor('no grey text', async () => !(await this.ghost()));
  }

  /** A picture of the upper part of the editor without what surrounds it. */
  async screenshot() {
    const box = await this.page.locator('.monaco-workbench .part.editor').boundingBox();
    return this.page.screenshot({ clip: { ...box, height: 300 } });
  }

  /** Milliseconds that VS Code says the extension took to activate. */
  async activationTime(name) {
    const { width, height } = this.page.viewportSize();
    // The list holds the rows that are in view, in the order of their times.
    await this.page.setViewportSize({ width, height: 2000 });
    const row = this.page.locator('.runtime-extensions-editor .extension', { hasText: name }).first();
    const [, time] = await waitFor('the time of activation', async () => {
      if (!(await row.isVisible())) await this.command('Developer: Show Running Extensions');
      const text = await row.locator('.activation-time').textContent({ timeout: 10000 }).catch(() => '');
      return /(\d+)\s*ms/.exec(text ?? '');
    });
    await this.page.setViewportSize({ width, height });
    return Number(time);
  }

  /** Text and tooltip of the extension's status bar item. */
  async status() {
    const item = this.page.locator('.statusbar-item[id*="caretd"]').first();
    return (await item.getAttribute('aria-label', { timeout: 5000 }).catch(() => '')) ?? '';
  }

  waitForStatus(wanted) {
    return waitFor(`the status ${wanted}`, async () => wanted.test(await this.status()), 180000,
      () => this.status());
  }

  async save() {
    await this.keyboard.press('Control+s');
  }

  /** Saves until `condition` holds for what is on disk, and gives its value. */
  async saveUntil(what, condition, explain) {
    let pressed = -Infinity;
    return waitFor(what, async () => {
      if (Date.now() - pressed > 2000) {
        await this.save();
        pressed = Date.now();
      }
      return condition();
    }, undefined, explain);
  }
}
