package main

import (
	"bufio"
	"io"
	"sort"
	"strings"
	"unicode"
)

// Word is a word and how often it was read.
type Word struct {
	Text  string `json:"text"`
	Count int    `json:"count"`
}

// Count returns the words of a text, most frequent first, equally frequent ones by name.
func Count(text io.Reader) ([]Word, error) {
	counts := map[string]int{}
	scanner := bufio.NewScanner(text)
	scanner.Split(bufio.ScanWords)
	for scanner.Scan() {
		word := strings.ToLower(strings.TrimFunc(scanner.Text(), unicode.IsPunct))
		if word != "" {
			counts[word]++
		}
	}
	words := make([]Word, 0, len(counts))
	for text, count := range counts {
		words = append(words, Word{text, count})
	}
	sort.Slice(words, func(i, j int) bool {
		if words[i].Count != words[j].Count {
			return words[i].Count > words[j].Count
		}
		return words[i].Text < words[j].Text
	})
	return words, scanner.Err()
}
