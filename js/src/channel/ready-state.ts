/** The values of `readyState`, which are those of a WebSocket. */

export const CONNECTING = 0;
export const OPEN = 1;
export const CLOSING = 2;
export const CLOSED = 3;
