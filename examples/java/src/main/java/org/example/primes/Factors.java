package org.example.primes;

import java.util.ArrayList;
import java.util.List;

/** Prime factors by trial division. */
final class Factors {
    private Factors() {}

    static List<Long> of(long number) {
        if (number < 2) throw new IllegalArgumentException(number + " has no prime factors");
        var factors = new ArrayList<Long>();
        for (long candidate = 2; candidate <= number / candidate; ++candidate) {
            for (; number % candidate == 0; number /= candidate) factors.add(candidate);
        }
        if (number > 1) factors.add(number);
        return factors;
    }
}
