package main

import "unsafe"

// The memory of the arguments of the call that runs: without this, it would be garbage.
var arguments [][]uint64

// The host asks for memory here, for a text or a list that it passes.
//
//go:wasmexport cabi_realloc
func reallocate(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	memory := make([]uint64, (size+7)/8+1) // aligned for every type
	arguments = append(arguments, memory)
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&memory[0])), size), unsafe.Slice((*byte)(old), oldSize))
	return unsafe.Pointer(&memory[0])
}

// The text that a function is passed as its address and length; it stays as it is until the function returns.
func text(at *byte, length uint32) string {
	arguments = nil
	return unsafe.String(at, length)
}

func main() {} // is not called
