/** Update-messages sent over the WebSocket, which wait for the server's reply. */

import type { Platform } from "../platform.js";
import { noAnswerError, type SendAnswer, SendError } from "../protocol/send.js";
import { PENDING_MAX_MESSAGES, SEND_TIMEOUT_MS } from "./limits.js";
import type { OutgoingMessage } from "./outbox.js";

export class PendingReplies {
  private _lastRef = 0;
  private readonly _pending = new Map<number, { message: OutgoingMessage; timer: unknown }>();
  /** Resolves the promise of a `send()` that reached the limit. */
  private _resolveCapacity: (() => void) | null = null;

  constructor(private readonly _platform: Platform) {}

  /**
   * Send a message as a numbered frame. The reply settles the message. Returns false if `send` throws;
   * otherwise a promise that resolves when the next message may be sent.
   */
  send(send: (text: string) => void, message: OutgoingMessage): Promise<void> | false {
    const ref = ++this._lastRef;
    try {
      send(`{"type":"send","ref":${ref},${message.body.slice(1)}`);
    } catch {
      return false;
    }
    const timer = this._platform.setTimeout(() => this.settle(ref, noAnswerError()), SEND_TIMEOUT_MS);
    this._pending.set(ref, { message, timer });
    return new Promise((resolve) => {
      if (this._pending.size < PENDING_MAX_MESSAGES) resolve();
      else this._resolveCapacity = resolve;
    });
  }

  /** Handle the reply to the message number `ref`: an error, or else the answer. */
  settle(ref: number, error: SendError | null, answer: SendAnswer = {}): void {
    const pending = this._pending.get(ref);
    if (!pending) return;
    this._pending.delete(ref);
    this._platform.clearTimeout(pending.timer);
    if (error) pending.message.reject(error);
    else pending.message.resolve(answer);
    this._resolveCapacity?.();
  }

  /** The connection is lost: the messages without a reply may or may not have arrived. */
  rejectAll(): void {
    for (const ref of this._pending.keys()) this.settle(ref, new SendError("the connection was lost"));
  }
}
