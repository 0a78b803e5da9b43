// Looks again and again: at a pace, more seldom while the server is away, not in a tab that nobody sees.

const WAIT_MOST_S = 60;
const watchers = new Set();
// What waits for the server to come back, and the status it was answered, 0 for no answer at all.
const waiting = new Map();

/** Calls back with `{loop, at, error}` whenever some data of a page was fetched (`at`), or was not; `loop` tells which. */
export const watch = (watcher) => watchers.add(watcher);
const tell = (news) => watchers.forEach((watcher) => watcher(news));

/** Some work that is done now and then, at most once at a time. */
class Loop {
  constructor(seconds, work) {
    Object.assign(this, { seconds, work, timer: null, running: null, asked: false, failures: 0, final: false });
    document.addEventListener("visibilitychange", () => document.hidden || this.final || this.now());
  }

  /** Does it at once; once more if it is being done, for what is asked may be another thing. */
  now() {
    this.asked = true;
    this.running ??= this.run().finally(() => (this.running = null));
    return this.running;
  }

  async run() {
    while (this.asked) {
      this.asked = false;
      clearTimeout(this.timer);
      const after = await this.tried();
      if (!document.hidden && !this.final) this.timer = setTimeout(() => this.now(), Math.max(this.pause(), after) * 1000);
    }
  }

  /** Does it, and gives the seconds that the server asks to wait, if it does. */
  async tried() {
    try {
      this.done((await this.work()) !== false);
      return 0;
    } catch (error) {
      this.failed(error);
      return error.after ?? 0;
    }
  }

  /** Whoever finds the server there again tells the others; one that refuses another's work is there all the time. */
  done(fetched) {
    [this.failures, this.final] = [0, false];
    const waited = waiting.delete(this);
    tell({ loop: this, at: fetched ? Date.now() : null, error: null });
    if (fetched) waiting.forEach((status, other) => (waited || status === 0) && other.now());
  }

  failed(error) {
    this.failures += 1;
    this.final = error.final ?? false;
    if (error.status === 0 || error.status >= 500) waiting.set(this, error.status);
    tell({ loop: this, at: null, error });
  }

  pause() {
    return this.failures ? Math.min(this.seconds * 2 ** this.failures, Math.max(WAIT_MOST_S, this.seconds)) : this.seconds;
  }
}

/**
 * Does some work now and every so many seconds, but not after a refusal that is final. Gives a function that does it at
 * once. Work that fetched nothing to show gives false.
 */
export function every(seconds, work) {
  const loop = new Loop(seconds, work);
  loop.now();
  return () => loop.now();
}
