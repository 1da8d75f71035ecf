//! Two types of one function that have one name.

mod plane {
    #[derive(rwasm_task::Type)]
    pub struct Point {
        pub x: i32,
    }
}

mod space {
    #[derive(rwasm_task::Type)]
    pub struct Point {
        pub x: f64,
    }
}

#[rwasm_task::export]
fn flattened(point: space::Point) -> plane::Point {
    plane::Point { x: point.x as i32 }
}

fn main() {}
