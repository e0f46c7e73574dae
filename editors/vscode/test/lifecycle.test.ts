// Starts and stops that overlap.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Lifecycle, type Server } from '../src/lifecycle.ts';

interface Fake extends Server {
  name: string;
}

interface Habits {
  /** Of a server that comes up and ends by itself. */
  comesUp?: boolean;
  ends?: boolean;
}

const never = new Promise<void>(() => undefined);

/** A lifecycle whose servers write down what happens to them; the search for the program waits for `found`. */
function scripted({ comesUp = true, ends = true }: Habits = {}, found = Promise.resolve()) {
  const told: string[] = [];
  const running = new Set<string>();
  let launches = 0;
  const launch = async (wanted: () => boolean): Promise<Fake | undefined> => {
    await found;
    if (!wanted()) return undefined;
    const name = `server ${++launches}`;
    assert.deepEqual([...running], [], 'another one runs');
    running.add(name);
    told.push(`${name} starts`);
    const gone = (how: string) => {
      running.delete(name);
      told.push(`${name} ${how}`);
      return Promise.resolve();
    };
    return {
      name,
      started: comesUp ? Promise.resolve() : never,
      end: () => (ends ? gone('ends') : never),
      kill: () => void gone('is killed'),
    };
  };
  const lifecycle = new Lifecycle(launch, 20);
  return { lifecycle, told, running, current: () => lifecycle.current?.name };
}

test('restarts in a row leave one server, and only the last starts one', async () => {
  const { lifecycle, told, current } = scripted();
  await lifecycle.restart();
  await Promise.all([lifecycle.restart(), lifecycle.restart(), lifecycle.restart()]);
  assert.deepEqual(told, ['server 1 starts', 'server 1 ends', 'server 2 starts']);
  assert.equal(current(), 'server 2');
});

test('a restart while the program is still looked for starts one server', async () => {
  let find: () => void = () => undefined;
  const found = new Promise<void>((resolve) => {
    find = resolve;
  });
  const { lifecycle, told } = scripted({}, found);
  const both = [lifecycle.restart(), lifecycle.restart()];
  find();
  await Promise.all(both);
  assert.deepEqual(told, ['server 1 starts']);
});

test('nothing goes to a server from the moment in which it is to be replaced', async () => {
  const { lifecycle, current } = scripted();
  await lifecycle.restart();
  const restarted = lifecycle.restart();
  assert.equal(current(), undefined);
  await restarted;
  assert.equal(current(), 'server 2');
});

test('a server that does not come up, or does not end, is killed', async () => {
  for (const habits of [{ comesUp: false }, { ends: false }]) {
    const { lifecycle, told } = scripted(habits);
    await lifecycle.restart();
    await lifecycle.restart();
    assert.deepEqual(told, ['server 1 starts', 'server 1 is killed', 'server 2 starts']);
  }
});

test('closing ends what is being started, and nothing starts after it', async () => {
  const { lifecycle, running } = scripted({ comesUp: false });
  const started = lifecycle.restart();
  await Promise.all([lifecycle.close(), started]);
  assert.deepEqual([...running], []);
  await lifecycle.restart();
  assert.deepEqual([...running], []);
});

test('a launch that fails does not keep the next one from its turn', async () => {
  let attempts = 0;
  const lifecycle = new Lifecycle<Fake>(() => {
    if (++attempts === 1) return Promise.reject(new Error('no'));
    return Promise.resolve({ name: 'second', started: never, end: () => never, kill: () => undefined });
  }, 20);
  await assert.rejects(lifecycle.restart());
  await lifecycle.restart();
  assert.equal(lifecycle.current?.name, 'second');
});
