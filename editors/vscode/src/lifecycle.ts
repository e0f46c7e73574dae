// One server at a time: starts and stops take their turns, and the last that was asked for counts.

/** A server that was started and may not be up yet. */
export interface Server {
  /** Settles once it is up, or is known not to come up; never rejects. */
  readonly started: Promise<unknown>;
  /** Asks one that is up to end, and waits until its process is gone. */
  end: () => Promise<unknown>;
  /** Ends the process at once. */
  kill: () => void;
}

/** How long each step of an end may take; the host of extensions waits about four seconds for all. */
const patienceMilliseconds = 1000;

/** Whether the work was done in time. */
async function within(milliseconds: number, work: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, milliseconds, false);
  });
  const done = work.then(
    () => true,
    () => true,
  );
  return await Promise.race([done, late]).finally(() => {
    clearTimeout(timer);
  });
}

export class Lifecycle<Started extends Server> {
  private turns: Promise<unknown> = Promise.resolve();
  private asked = 0;
  private closed = false;
  private latest: { server: Started; turn: number } | undefined;

  /**
   * `launch` starts a server, or says why it cannot and gives none. It takes its time: where `wanted`
   * is false by then, something else was asked for meanwhile and it is not to start one.
   */
  constructor(
    private readonly launch: (wanted: () => boolean) => Promise<Started | undefined>,
    private readonly patience = patienceMilliseconds,
  ) {}

  /** The server, from its start until anything else is asked for. */
  get current(): Started | undefined {
    return this.latest?.turn === this.asked ? this.latest.server : undefined;
  }

  /** Ends the server that runs, if any, then starts one; of several in a row only the last starts one. */
  async restart(): Promise<void> {
    if (this.closed) return;
    const turn = ++this.asked;
    const wanted = () => turn === this.asked;
    await this.inTurn(async () => {
      await this.end();
      const server = wanted() ? await this.launch(wanted) : undefined;
      if (server !== undefined) this.latest = { server, turn };
    });
  }

  /** Ends what runs or is being started, for good. */
  async close(): Promise<void> {
    this.closed = true;
    ++this.asked;
    await this.inTurn(() => this.end());
  }

  private async inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.turns.then(work);
    this.turns = done.catch(() => undefined);
    await done;
  }

  private async end(): Promise<void> {
    const server = this.latest?.server;
    this.latest = undefined;
    if (server === undefined) return;
    const up = await within(this.patience, server.started);
    if (!up || !(await within(this.patience, server.end()))) server.kill();
  }
}
