/** `EventTarget` with the types of a channel's events, that notices who begins to listen. */

import type { ChannelEventMap } from "./events.js";

type Listener<E extends Event> = ((event: E) => unknown) | { handleEvent(event: E): unknown };

export abstract class ChannelTarget extends EventTarget {
  override addEventListener<K extends keyof ChannelEventMap>(
    type: K,
    listener: Listener<ChannelEventMap[K]> | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  override addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  override addEventListener(
    type: string,
    listener: Listener<never> | null,
    options?: boolean | AddEventListenerOptions,
  ): void {
    super.addEventListener(type, listener as EventListener | null, options);
    if (listener) this.listened(type);
  }

  override removeEventListener<K extends keyof ChannelEventMap>(
    type: K,
    listener: Listener<ChannelEventMap[K]> | null,
    options?: boolean | EventListenerOptions,
  ): void;
  override removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
  override removeEventListener(
    type: string,
    listener: Listener<never> | null,
    options?: boolean | EventListenerOptions,
  ): void {
    super.removeEventListener(type, listener as EventListener | null, options);
  }

  /** @internal */
  protected abstract listened(type: string): void;
}
