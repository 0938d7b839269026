/** Update-messages that went over the connection itself, and wait for their answers. */

import { type Item, noAnswer, POST_TIMEOUT_MS, type SendAnswer, SendError } from "./outbox.js";
import type { Platform } from "./platform.js";

/** The server takes so many of one WebSocket at a time, and refuses more with 429. */
const UNANSWERED_MAX_MESSAGES = 64;

export class Asks {
  private _last = 0;
  private readonly _waiting = new Map<number, { item: Item; timer: unknown }>();
  /** Tells whoever wants to send the next that there is room. */
  private _makeRoom: (() => void) | null = null;

  constructor(private readonly _platform: Platform) {}

  /**
   * Send a message, as a frame that has its number; false where `send` throws. Resolves when there
   * is room for the next, which must be waited for.
   */
  ask(send: (text: string) => void, item: Item): Promise<void> | false {
    const ref = ++this._last;
    try {
      send(`{"type":"send","ref":${ref},${item.body.slice(1)}`);
    } catch {
      return false;
    }
    const timer = this._platform.setTimeout(() => this.settle(ref, noAnswer()), POST_TIMEOUT_MS);
    this._waiting.set(ref, { item, timer });
    return new Promise((resolve) => {
      if (this._waiting.size < UNANSWERED_MAX_MESSAGES) resolve();
      else this._makeRoom = resolve;
    });
  }

  /** Take the server's answer to the message that was numbered `ref`. */
  settle(ref: number, error: SendError | false, answer: SendAnswer = {}): void {
    const asked = this._waiting.get(ref);
    if (!asked) return;
    this._waiting.delete(ref);
    this._platform.clearTimeout(asked.timer);
    if (error) asked.item.reject(error);
    else asked.item.resolve(answer);
    this._makeRoom?.();
  }

  /** The connection is gone: nobody knows what became of those that wait. */
  lost(): void {
    for (const ref of this._waiting.keys()) this.settle(ref, new SendError("the connection was lost"));
  }
}
