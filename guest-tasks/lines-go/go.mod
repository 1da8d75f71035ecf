module lines-go

go 1.24
