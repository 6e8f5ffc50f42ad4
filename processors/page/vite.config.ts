import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

/** `url()` with a quoted text, in which a backslash takes the next character as it is, or with a plain one. */
const URLS = /url\(\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^"')\s]+))\s*\)/g;
const TYPES: Record<string, string> = { "image/svg+xml": "svg", "image/png": "png", "image/jpeg": "jpg" };

/** The bytes of a `data:` address. */
function bytes(data: string): { type: string; source: Uint8Array } {
  const [, type = "", coding = "", text = ""] = /^data:([^;,]+)([^,]*),(.*)$/s.exec(data) ?? [];
  if (coding.endsWith(";base64")) return { type, source: Buffer.from(text, "base64") };
  // A percent sign that begins no code stands for itself.
  const decoded = text.replaceAll(/(?:%[0-9a-f]{2})+/gi, (codes) => decodeURIComponent(codes));
  return { type, source: Buffer.from(decoded) };
}

/** Makes files of the images that a style sheet has as `data:` addresses, which the content security policy refuses. */
function images(): Plugin {
  return {
    name: "images",
    apply: "build",
    generateBundle(_, bundle) {
      for (const sheet of Object.values(bundle)) {
        if (sheet.type !== "asset" || !sheet.fileName.endsWith(".css")) continue;
        const text = typeof sheet.source === "string" ? sheet.source : Buffer.from(sheet.source).toString();
        sheet.source = text.replaceAll(URLS, (whole, double?: string, single?: string, plain?: string) => {
          const address = (double ?? single ?? plain ?? "").replaceAll(/\\(.)/gs, "$1");
          if (!address.startsWith("data:")) return whole;
          const { type, source } = bytes(address);
          const kind = TYPES[type];
          if (!kind) throw new Error(`${sheet.fileName}: no file can be made of ${type}`);
          const name = `image-${createHash("sha256").update(source).digest("hex").slice(0, 8)}.${kind}`;
          this.emitFile({ type: "asset", fileName: `assets/${name}`, source });
          return `url(./${name})`;
        });
        if (sheet.source.includes("data:image")) throw new Error(`${sheet.fileName} still has images within`);
      }
    },
  };
}

/** Lays a compressed copy beside every file of the page: the gateway serves both and compresses nothing itself. */
function compressed(): Plugin {
  return {
    name: "compressed",
    apply: "build",
    writeBundle({ dir }) {
      if (!dir) return;
      for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile()) continue;
        const path = join(entry.parentPath, entry.name);
        writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }));
      }
    },
  };
}

const file = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const gateway = "http://127.0.0.1:8080";

export default defineConfig({
  build: {
    outDir: "dist/www",
    target: "es2022",
    // The content security policy allows nothing in line, data: addresses included.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: { input: { index: file("index.html"), docs: file("docs.html") } },
    // Swagger UI is large, and loaded by its own page alone.
    chunkSizeWarningLimit: 2_000,
    license: { fileName: "assets/licenses.md" },
  },
  // `npm run dev` beside a `kpay local` on its usual port.
  server: { proxy: { "/v1": gateway, "/openapi.json": gateway } },
  plugins: [images(), compressed()],
});
