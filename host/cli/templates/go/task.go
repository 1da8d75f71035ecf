package main

import "structs"

// A record of wit/task.wit: the fields are where the host looks for them.
type sizes struct {
	_                            structs.HostLayout
	lines, words, bytes, longest uint64
}

// A record is returned as its address, which must be valid after the function has returned.
var result sizes

//go:wasmexport mapper
func mapper(at *byte, length uint32) *sizes {
	result = sizes{bytes: uint64(length)}
	var line uint64
	inWord := false
	for _, letter := range []byte(text(at, length)) {
		isSpace := letter == ' ' || letter >= '\t' && letter <= '\r'
		if !isSpace && !inWord {
			result.words++
		}
		inWord = !isSpace
		line++
		if letter == '\n' {
			result.lines++
			line = 0
		}
		result.longest = max(result.longest, line)
	}
	return &result
}

// Records of few fields are passed as their fields.
//
//go:wasmexport reducer
func reducer(aLines, aWords, aBytes, aLongest, bLines, bWords, bBytes, bLongest uint64) *sizes {
	result = sizes{
		lines:   aLines + bLines,
		words:   aWords + bWords,
		bytes:   aBytes + bBytes,
		longest: max(aLongest, bLongest),
	}
	return &result
}
