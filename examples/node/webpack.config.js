// Two bundles: the server with every dependency inside, so that the final image needs no
// node_modules at all, and the page that it serves.
const path = require("path");
const HtmlWebpackPlugin = require("html-webpack-plugin");
const MiniCssExtractPlugin = require("mini-css-extract-plugin");

const server = {
  name: "server",
  target: "node18",
  entry: "./src/server.js",
  output: { path: path.resolve(__dirname, "dist"), filename: "server.js" },
  // Express looks up view engines by name at run time; this application has none.
  ignoreWarnings: [{ module: /express\/lib\/view\.js/ }],
};

const page = {
  name: "page",
  target: "web",
  entry: "./src/page.js",
  output: { path: path.resolve(__dirname, "dist/public"), filename: "page.[contenthash:8].js" },
  module: { rules: [{ test: /\.css$/, use: [MiniCssExtractPlugin.loader, "css-loader"] }] },
  plugins: [
    new HtmlWebpackPlugin({ template: "./src/page.html" }),
    new MiniCssExtractPlugin({ filename: "page.[contenthash:8].css" }),
  ],
};

module.exports = [server, page];
