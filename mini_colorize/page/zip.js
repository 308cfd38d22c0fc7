/* A zip file of files that are compressed already: stored as they are. PKWARE's APPNOTE.TXT,
   sections 4.3.7, 4.3.12 and 4.3.16; names are UTF-8; at most 4 GB. */

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/* Numbers of 2 or 4 bytes, the lowest byte first: [[value, bytes], ...] or plain 4-byte ones. */
function numbers(...pairs) {
  return Uint8Array.from(pairs.flatMap(([value, count]) =>
    Array.from({ length: count }, (_, i) => (value / 2 ** (8 * i)) & 255)));
}

/* files: [{ name, blob }]. Returns a Blob. */
export async function zip(files) {
  const parts = [], entries = [];
  let at = 0;
  for (const { name, blob } of files) {
    const title = new TextEncoder().encode(name);
    const crc = crc32(new Uint8Array(await blob.arrayBuffer()));
    const common = numbers([20, 2], [0x800, 2], [0, 2], [0, 2], [0x21, 2], [crc, 4],
      [blob.size, 4], [blob.size, 4], [title.length, 2], [0, 2]);
    parts.push(numbers([0x04034b50, 4]), common, title, blob);
    entries.push(numbers([0x02014b50, 4], [20, 2]), common,
      numbers([0, 2], [0, 2], [0, 2], [0, 4], [at, 4]), title);
    at += 30 + title.length + blob.size;
  }
  const size = entries.reduce((sum, entry) => sum + entry.length, 0);
  const end = numbers([0x06054b50, 4], [0, 2], [0, 2], [files.length, 2], [files.length, 2],
    [size, 4], [at, 4], [0, 2]);
  return new Blob([...parts, ...entries, end], { type: "application/zip" });
}
