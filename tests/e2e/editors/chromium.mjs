// The browser that VS Code's workbench runs in.
import { chromium } from 'playwright-core';

import { startTwice } from './helpers.mjs';

/** Headless Chromium of the distribution, quiet, without the network and without a large /dev/shm. */
export function launchChromium() {
  return startTwice('Chromium', () => chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    timeout: 120000,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-dev-shm-usage',
      '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  }));
}
