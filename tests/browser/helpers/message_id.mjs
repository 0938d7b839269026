// Message IDs.

/** Returns an ID as text that sorts in the order of the IDs. */
export function sortable(id) {
  return id
    .split("-")
    .map((part) => part.padStart(20, "0"))
    .join("-");
}
