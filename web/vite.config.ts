// One page, one file: script and style are inlined, so that the report opens from disk anywhere, offline.
import { defineConfig } from "vite";
import { viteSingleFile } from "vite-plugin-singlefile";

export default defineConfig({
  plugins: [viteSingleFile()],
  build: { outDir: "dist", emptyOutDir: true, rollupOptions: { input: "report.html" } },
});
