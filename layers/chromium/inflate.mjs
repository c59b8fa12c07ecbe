// Writes the brotli-compressed file that is named on the command line to the standard output.
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { createBrotliDecompress } from "node:zlib";

await pipeline(createReadStream(process.argv[2]), createBrotliDecompress(), process.stdout);
