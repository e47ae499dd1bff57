package org.example.primes;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;

/** Factors the numbers given as arguments; without any, serves GET /NUMBER. */
public final class Main {
    public static void main(String[] args) throws IOException {
        if (args.length == 0) {
            var server = HttpServer.create(new InetSocketAddress(8080), 0);
            server.createContext("/", Main::answer);
            server.start();
            return;
        }
        for (String number : args) {
            System.out.println(number + " = " + Factors.of(Long.parseLong(number)));
        }
    }

    private static void answer(HttpExchange exchange) throws IOException {
        String text;
        int status = 200;
        try {
            text = Factors.of(Long.parseLong(exchange.getRequestURI().getPath().substring(1))) + "\n";
        } catch (IllegalArgumentException error) {
            text = error.getMessage() + "\n";
            status = 400;
        }
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(status, bytes.length);
        exchange.getResponseBody().write(bytes);
        exchange.close();
    }
}
