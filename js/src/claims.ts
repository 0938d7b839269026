/** What a token says (RFC 7519), unverified: for hints only, the server decides. */

import { positionOrNull } from "./position.js";

export interface Claims {
  sub?: string;
  exp?: number;
  pos?: string;
  groups?: string[];
}

/** The claims of `token`; none where it cannot be decoded. */
export function readClaims(token: string): Claims {
  try {
    const payload = (token.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/");
    const bytes = Uint8Array.from(atob(payload), (character) => character.charCodeAt(0));
    return Object(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return {};
  }
}

/** Where a first connection with `token` starts, by its `pos`. */
export function originOf(token: string): string | null {
  return positionOrNull(readClaims(token).pos);
}
