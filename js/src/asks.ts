/** Update-messages that went over the connection itself, and wait for their answers. */

import { type Item, type SendAnswer, SendError } from "./outbox.js";

export class Asks {
  private _last = 0;
  private readonly _waiting = new Map<number, Item>();

  /** Send a message, as a frame that has its number. */
  ask(send: (text: string) => void, item: Item): true {
    send(`{"type":"send","ref":${++this._last},${item.body.slice(1)}`);
    this._waiting.set(this._last, item);
    return true;
  }

  /** Take the server's answer to the message that was numbered `ref`. */
  settle(ref: number, error: SendError | false, answer: SendAnswer): void {
    const item = this._waiting.get(ref);
    this._waiting.delete(ref);
    if (error) item?.reject(error);
    else item?.resolve(answer);
  }

  /** The connection is gone: nobody knows what became of those that wait. */
  lost(): void {
    for (const { reject } of this._waiting.values()) reject(new SendError("the connection was lost"));
    this._waiting.clear();
  }
}
