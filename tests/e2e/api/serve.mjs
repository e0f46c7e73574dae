// Starts `caretd serve` on a free port and stops it again.
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';

export const CARETD = process.env.CARETD;
/** For what takes a second on a machine that does nothing else. */
export const PATIENCE_MS = 120_000;

/** Nothing of the user's own configuration takes part. */
export function environment(home, more = {}) {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('CARETD_'));
  const folders = ['HOME', 'XDG_CONFIG_HOME', 'XDG_STATE_HOME', 'XDG_CACHE_HOME', 'XDG_RUNTIME_DIR'];
  return { ...Object.fromEntries(kept), ...Object.fromEntries(folders.map((f) => [f, home])), ...more };
}

export class Server {
  /** Resolves once the server listens and the model is loaded. */
  static async start(words = [], { env = {}, ready = true, threads = 1 } = {}) {
    const server = new Server();
    server.home = mkdtempSync(path.join(tmpdir(), 'caretd-api-'));
    server.log = '';
    // One thread is enough for what these tests look at, and does not mind a busy machine.
    server.process = spawn(CARETD, ['serve', '--listen', '127.0.0.1:0', '--set', `model.threads=${threads}`, ...words],
      { env: environment(server.home, env), stdio: ['ignore', 'pipe', 'pipe'] });
    server.process.stderr.on('data', (bytes) => { server.log += bytes; });
    server.ended = new Promise((resolve) => server.process.on('close', resolve));
    const first = createInterface(server.process.stdout)[Symbol.asyncIterator]().next();
    const line = (await Promise.race([first, server.ended])).value;
    if (!line) throw new Error(`caretd serve ended: ${server.log}`);
    server.url = line.replace('listening on ', '');
    server.port = Number(server.url.split(':').at(-1));
    if (ready) await server.waitUntilReady();
    return server;
  }

  async waitUntilReady() {
    const end = Date.now() + PATIENCE_MS;
    while ((await fetch(`${this.url}/health`)).status === 503) {
      if (Date.now() > end) throw new Error(`caretd serve does not become ready: ${this.log}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async post(path, body, headers = {}) {
    return fetch(`${this.url}${path}`, {
      method: 'POST', headers: { 'Content-Type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  }

  /** The value of a figure of /metrics. */
  async metric(name) {
    const page = await (await fetch(`${this.url}/metrics`)).text();
    const line = page.split('\n').find((l) => l.startsWith(`${name} `));
    return Number(line.split(' ')[1]);
  }

  async metricReaches(name, value) {
    const end = Date.now() + PATIENCE_MS;
    for (;;) {
      const now = await this.metric(name);
      if (now === value) return;
      if (Date.now() > end) throw new Error(`${name} stays at ${now}, not ${value}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** A socket of one's own; `reply` resolves with everything received once the server closes. */
  raw() {
    const socket = net.connect(this.port, '127.0.0.1');
    let text = '';
    socket.on('data', (bytes) => { text += bytes; });
    socket.on('error', () => {});
    const reply = new Promise((resolve) => socket.on('close', () => resolve(text)));
    return { socket, reply };
  }

  descriptors() {
    return readdirSync(`/proc/${this.process.pid}/fd`).length;
  }

  /** Computing time of all threads so far; steps of 10 ms. */
  processorMs() {
    const fields = readFileSync(`/proc/${this.process.pid}/stat`, 'utf8').split(') ').at(-1).split(' ');
    return 10 * (Number(fields[11]) + Number(fields[12]));
  }

  residentMiB() {
    const status = readFileSync(`/proc/${this.process.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+)/.exec(status)[1]) / 1024;
  }

  /** Its exit code. */
  async stop() {
    this.process.kill('SIGTERM');
    const code = await this.ended;
    rmSync(this.home, { recursive: true, force: true });
    return code;
  }
}
